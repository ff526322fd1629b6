"""Takes named members out of a wheel (zip) or source archive (tar.gz), without their folders.

    python unpack.py ARCHIVE OUTPUT_FOLDER PREFIX      writes every file whose path inside starts with PREFIX
"""

import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath


def members(archive):
    """The path and bytes of every regular file. Links are left out: nothing here needs them."""
    if archive.endswith(".whl"):
        with zipfile.ZipFile(archive) as wheel:
            for entry in wheel.infolist():
                if not entry.is_dir():
                    yield entry.filename, lambda entry=entry: wheel.read(entry)
    else:
        with tarfile.open(archive) as sdist:
            for entry in sdist:
                if entry.isfile():
                    yield entry.name, lambda entry=entry: sdist.extractfile(entry).read()


def main(archive, folder, prefix):
    found = 0
    for path, read in members(archive):
        if path.startswith(prefix):
            Path(folder, PurePosixPath(path).name).write_bytes(read())
            found += 1
    if found == 0:
        raise SystemExit(f"nothing in {archive} starts with {prefix}")


if __name__ == "__main__":
    main(*sys.argv[1:])
