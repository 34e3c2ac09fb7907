"""``python -m vfi_pipeline.page --root FOLDER`` starts the page."""

import sys

from vfi_pipeline.page.command import main

if __name__ == "__main__":  # the helper process imports this file under another name
    sys.exit(main())
