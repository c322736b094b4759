"""What needs Blender's module `bpy`: objects, materials, the studio, the camera, the renders."""
