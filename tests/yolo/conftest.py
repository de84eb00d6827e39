"""Tests that need ultralytics, in an environment of their own: it wants another OpenCV, and torchvision, than the rest.

The plugin uses no part of ultralytics that imports torchvision, so one that does not fit torch does no harm here.
"""

import os
import tempfile

# Read when ultralytics is first imported, here by a fixture and not by the plugin, which sets them itself.
os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp(prefix="ultralytics-")
os.environ["YOLO_OFFLINE"] = "true"
