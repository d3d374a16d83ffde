"""Get the scripts, styles and fonts of visdom's page from npm packages, for machines without access to content
networks.

    python scripts/visdom_assets.py && python -m visdom.server

When it is first started, the visdom server downloads these files from three content networks. Without them, it ends
with an error or shows an empty page. The same files are in npm packages, which many clusters mirror. Requires `npm`;
can be run repeatedly.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from importlib import metadata, util
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util.errors import UserError, told_in_one_line
from util.files import atomic_path, write_text

VISDOM_VERSION = "0.2.4"
MATHJAX = "js/mathjax/2.7.5"

# npm package: {file in the package: file in visdom's static folder}, with the names of visdom's server/build.py.
ASSETS: dict[str, dict[str, str]] = {
    "jquery@3.1.1": {"dist/jquery.min.js": "js/jquery.min.js"},
    "bootstrap@3.3.7": {
        "dist/js/bootstrap.min.js": "js/bootstrap.min.js",
        "dist/css/bootstrap.min.css": "css/bootstrap.min.css",
        **{
            f"dist/fonts/glyphicons-halflings-regular.{kind}": f"fonts/glyphicons-halflings-regular.{kind}"
            for kind in ("eot", "woff2", "woff", "ttf", "svg")
        },
    },
    "react@16.2.0": {"umd/react.production.min.js": "js/react-react.min.js"},
    "react-dom@16.2.0": {"umd/react-dom.production.min.js": "js/react-dom.min.js"},
    "react-modal@3.1.10": {"dist/react-modal.min.js": "js/react-modal.min.js"},
    "plotly.js-dist-min@2.11.1": {"plotly.min.js": "js/plotly-plotly.min.js"},
    "sjcl@1.0.7": {"sjcl.js": "js/sjcl.js"},
    "layout-bin-packer@1.4.0": {
        "dist/layout-bin-packer.js": "js/layout_bin_packer.js",
        "dist/layout-bin-packer.js.map": "js/layout-bin-packer.js.map",
    },
    "d3@3.5.17": {"d3.min.js": "js/d3.v3.min.js"},
    "d3-selection-multi@1.0.1": {"build/d3-selection-multi.min.js": "js/d3-selection-multi.v1.js"},
    "save-svg-as-png@1.4.17": {"lib/saveSvgAsPng.js": "js/saveSvgAsPng.js"},
    "react-resizable@1.4.6": {"css/styles.css": "css/react-resizable-styles.css"},
    "react-grid-layout@0.16.3": {"css/styles.css": "css/react-grid-layout-styles.css"},
    "classnames@2.2.5": {"index.js": "fonts/classnames"},
    "mathjax@2.7.5": {
        path: f"{MATHJAX}/{path}"
        for path in (
            "MathJax.js",
            "config/Safe.js",
            "config/TeX-AMS-MML_HTMLorMML.js",
            "extensions/Safe.js",
            "jax/output/SVG/config.js",
            "jax/output/SVG/jax.js",
            "jax/output/SVG/fonts/TeX/fontdata.js",
            "jax/output/SVG/fonts/TeX/Size1/Regular/Main.js",
        )
    },
}


def main() -> None:
    """Get missing files, then mark visdom's static folder as complete, so that visdom does not download anything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--static", type=Path, help="visdom's static folder (default: the folder of the installed package)"
    )
    static = parser.parse_args().static or installed_static_folder()
    built = static / "version.built"
    if built.is_file() and built.read_text().strip() == VISDOM_VERSION and not missing_files(static):
        print(f"visdom's page is complete: {static}")
        return
    if shutil.which("npm") is None:
        raise UserError(
            "npm is not installed: install Node.js, or run this command on a machine that has it and copy visdom's "
            "static folder"
        )
    for package, files in ASSETS.items():
        print(f"downloading {package}", flush=True)
        fetch(package, files, static)
    write_text(built, VISDOM_VERSION)
    print(f"visdom's page is complete: {static}")


def installed_static_folder() -> Path:
    """The static folder of the installed visdom. Raises UserError if it is missing or has an unsupported version."""
    found = util.find_spec("visdom")
    if found is None or found.origin is None:
        raise UserError("visdom is not installed: pip install -r requirements.txt")
    if metadata.version("visdom") != VISDOM_VERSION:
        raise UserError(
            f"visdom {metadata.version('visdom')} is installed, but this command supports only {VISDOM_VERSION}: "
            "pip install -r requirements.txt"
        )
    return Path(found.origin).parent / "static"


def missing_files(static: Path) -> list[str]:
    """The files of ASSETS that are missing."""
    return [target for files in ASSETS.values() for target in files.values() if not (static / target).is_file()]


def fetch(package: str, files: Mapping[str, str], static: Path) -> None:
    """Copy `files` from an npm package to `static`. Raises UserError if npm fails or a file is missing."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", package, "--silent", "--pack-destination", folder]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        archives = list(Path(folder).glob("*.tgz"))
        if result.returncode or not archives:
            raise UserError(f"npm could not download {package}: {result.stderr.strip()[-500:] or 'no archive'}")
        with tarfile.open(archives[0]) as archive:
            for source, target in files.items():
                copy_member(archive, f"package/{source}", static / target)


def copy_member(archive: tarfile.TarFile, name: str, target: Path) -> None:
    """Write one file of an archive to `target`, atomically, without unpacking the others."""
    try:
        content = archive.extractfile(name)
    except KeyError:
        content = None
    if content is None:
        raise UserError(f"{name} is not in the npm package")
    with content, atomic_path(target) as temporary:
        temporary.write_bytes(content.read())


if __name__ == "__main__":
    with told_in_one_line("visdom_assets.py"):
        main()
