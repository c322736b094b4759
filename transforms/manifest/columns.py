"""Which column of a manifest means what, also in shops' exports and in other languages."""

from __future__ import annotations

import difflib
import functools
import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping

from alphabeam.transforms.manifest.source import ManifestError
from alphabeam.transforms.parameters import PARAMETERS
from alphabeam.transforms.rows import FAILURE_COLUMNS

__all__ = ["NAMES", "Columns", "columns_of", "is_image_name"]

_logger = logging.getLogger(__name__)

# The API's own spellings (ErodeSize) and ours (erode_size) meet when case and "_" are dropped.
_KNOWN = {name.replace("_", ""): name for name in (*(p.name for p in PARAMETERS), "image", "id")}
NAMES = tuple(_KNOWN.values())
"""What `input.columns` may map."""

_PARAMETERS = {p.name.replace("_", ""): p.name for p in PARAMETERS if len(p.name) > 3}
_NEARLY = 0.88  # of difflib's ratio: a letter is missing, or two are swapped

# The column with a product's main picture, in the exports of shops. Their rows are products and
# variants and not images: one without a picture is none of ours.
_SHOPS = (
    *("Image Src", "Product image URL", "Product image source"),  # Shopify, Matrixify
    "base_image",  # Magento, Adobe Commerce
    *("image_link", "main_image_url", "main_image", "primary_image"),  # Google, Amazon, others
    *("picture", "product_image", "packshot"),  # Akeneo's usual attributes
)
# The same where nothing of the above is found.
_SHOPS_ELSE = ("Variant Image", "Variant image URL", "variation_image", "small_image")
# What people call it who keep a list of images themselves.
_PEOPLE = (
    *("image url", "url image", "image link", "image path", "image file", "image name", "imagen"),
    *("img", "img url", "photo", "photo url", "picture url", "picture file", "product photo"),
    *("Bild", "Bild-URL", "Bilddatei", "Bildpfad", "Bildlink", "Bildname", "Produktbild"),
    *("Artikelbild", "Hauptbild", "Foto", "Foto-URL", "Produktfoto", "Link zum Bild"),
    *("URL de l'image", "Lien image", "Lien de l'image", "Fichier image", "Image du produit"),
    *("Image produit", "Image principale", "Chemin de l'image", "Photo du produit", "Visuel"),
    *("画像", "画像URL", "画像ファイル", "画像ファイル名", "画像パス", "画像リンク", "商品画像"),
    *(
        "商品画像URL",
        "メイン画像",
        "メイン画像URL",
        "商品メイン画像",
        "写真",
        "商品写真",
        "イメージ",
    ),
    *("URL de la imagen", "Imagen principal", "Imagen del producto", "Immagine", "URL immagine"),
    *("Immagine principale", "Imagem", "Afbeelding", "Afbeelding-URL", "Bildfil", "Billede"),
    *("Bilde", "Kuva", "Zdjęcie", "Obraz", "Obrázek", "Kép", "Resim", "Изображение", "Фото"),
    *("Картинка", "图片", "图片链接", "图片地址", "主图", "圖片", "이미지", "이미지URL"),
)
# What tells a report's decisions from a catalogue that has a column of one of these names.
_DECISIONS = frozenset({"id", "image", "decision", "note"})
_OURS = (_DECISIONS, frozenset({"id", "image", *FAILURE_COLUMNS}))
# How Akeneo ends an attribute's name: its locale, its channel, or both.
_SCOPE = re.compile(r"-[a-z]{2,3}_[A-Z]{2}(-\w+)?$")


def _plain(name: str) -> str:
    """A name as it is compared: one form of each letter, no case, no spaces and punctuation."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())


_RANKS = (
    (frozenset(map(_plain, (*_SHOPS, *_PEOPLE)))),
    (frozenset(map(_plain, _SHOPS_ELSE))),
)
_OF_SHOPS = frozenset(map(_plain, (*_SHOPS, *_SHOPS_ELSE)))


def is_image_name(name: str) -> bool:
    """Whether a column of that name is known to hold images."""
    return _plain(name) == "image" or any(_plain(name) in rank for rank in _RANKS)


class Columns(dict[str, str]):
    """Our name of each column that has a name, by its own name in the manifest.

    Attributes:
        of_shop: Whether the images are in a shop's column, where rows may have none.
        rooted: Whether a ``/`` before an image means the folder of the shop's images.
        reviewed: Whether these are decisions that were saved from a report.
    """

    of_shop: bool = False
    rooted: bool = False
    reviewed: bool = False


def columns_of(
    names: Iterable[str],
    where: str,
    given: Mapping[str, str] | None = None,
    *,
    hint: str = "; rename one, or say which it is: input.columns: {image: NAME}",
) -> Columns:
    """Maps a manifest's own column names to ours; unknown ones are carried through.

    Args:
        names: The manifest's columns; empty ones are passed over.
        where: For messages.
        given: The manifest's own name for ours, where the job says it. It is of no account in
            what a job or a report has written itself, which has our names.
        hint: What to do about a column that is not there.

    Raises:
        ManifestError: No column holds the images, or several may; a name is given twice.
    """
    own = [name for name in names if name.strip()]
    if any(marks <= {*own} for marks in _OURS):
        given = None
    mapped = Columns()
    said = {theirs.strip().casefold(): ours for ours, theirs in (given or {}).items()}
    for ours, theirs in (given or {}).items():
        if theirs.strip().casefold() not in (name.strip().casefold() for name in own):
            raise ManifestError(
                f"{where}: there is no column {theirs!r}, which input.columns.{ours} names; "
                f"the columns are {_listed(own)}"
            )
    for name in own:
        known = said.get(name.strip().casefold())
        if known is None:
            known = _KNOWN.get(name.strip().lower().replace("_", ""))
            if known in said.values():
                known = None  # the job says that it is another one
        if known is not None and known in mapped.values():
            raise ManifestError(
                f"{where}: two columns mean {known!r} ({name!r} is the second); leave one out"
            )
        if known is None:
            _warn_of_misspelt(name.strip())
        mapped[name] = known or name.strip()
    if "image" not in mapped.values():
        mapped[_image_column(own, where, hint)] = "image"
    mapped.reviewed = {*mapped.values()} >= _DECISIONS
    plain = next(_plain(_SCOPE.sub("", name)) for name in mapped if mapped[name] == "image")
    mapped.of_shop, mapped.rooted = plain in _OF_SHOPS, plain == "baseimage"
    return mapped


@functools.cache  # one line a process, however many shards it reads
def _warn_of_misspelt(name: str) -> None:
    """Says so where a column that is carried through nearly has a parameter's name."""
    plain = _plain(name)
    near = difflib.get_close_matches(plain, _PARAMETERS, n=1, cutoff=_NEARLY)
    if near and plain != near[0]:
        _logger.warning(
            "column %r is carried through; if it is to set %s, rename it",
            name,
            _PARAMETERS[near[0]],
        )


def _image_column(own: list[str], where: str, hint: str) -> str:
    """The column that holds the images by a well-known name."""
    for rank in _RANKS:
        found = [name for name in own if _plain(name) in rank] or [
            name
            for name in own
            if _SCOPE.search(name)
            and (_plain(_SCOPE.sub("", name)) in rank or _plain(_SCOPE.sub("", name)) == "image")
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise ManifestError(
                f"{where}: the images may be in any of the columns {_listed(found)}; say which, "
                f"for example input.columns: {{image: {found[0]}}}"
            )
    raise ManifestError(
        f"{where}: there is no column 'image'; the columns are {_listed(own)}{hint}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
