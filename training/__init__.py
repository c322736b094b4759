"""How the embedded model was made; see README.md. Nothing in the plugin imports this package."""
