"""`make demo`: two sample pictures, one real job through the queue, one painted picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main(folder: Path) -> int:
    """Run the commands that the README shows; stop at the first that fails."""
    result = folder / "painted.png"
    pictures = [folder / "content.jpg", folder / "style.jpg"]
    commands = [["run", "style-transfer", *map(str, pictures), "-o", str(result), "--force"]]
    if not all(picture.exists() for picture in pictures):
        commands.insert(0, ["samples", str(folder)])
    commands += [["ls"], ["down"]]
    code = 0
    for command in commands:
        print(f"\n$ cvq {' '.join(command)}", flush=True)
        done = subprocess.run([Path(sys.executable).parent / "cvq", *command], check=False)
        code = code or done.returncode
        if code and command[0] == "samples":
            break
    if code == 0:
        print(f"\nThe picture is {result.resolve()}")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
