"""Draw the film of the first page and of the README: `python docs/film.py`.

It is the film of `examples/images/plot_digit_settles.py` with fewer pictures and colours, so that
the file stays small.
"""

import runpy
import tempfile
from pathlib import Path

from PIL import Image, ImageSequence

HERE = Path(__file__).parent
N_COLOURS = 256
SHORT, PAUSE = 200, 1200  # ms; the pauses are at the ends of both phases


def main():
    example = HERE.parent / "examples" / "images" / "plot_digit_settles.py"
    page = runpy.run_path(str(example), run_name="__main__")
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "film.gif"
        page["film"].save(large, writer="pillow", dpi=80)
        with Image.open(large) as film:
            frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(film)]
    kept = frames[1::2]  # every second, and the last of each phase
    width, height = kept[0].size
    together = Image.new("RGB", (width, height * len(kept)))  # one palette for all
    for place, frame in enumerate(kept):
        together.paste(frame, (0, height * place))
    palette = together.quantize(N_COLOURS)
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in kept]
    durations = [SHORT] * len(kept)
    durations[len(kept) // 2 - 1] = durations[-1] = PAUSE
    target = HERE / "_static" / "digit_settles.gif"
    first.save(
        target, save_all=True, append_images=others, duration=durations, loop=0, optimize=True
    )
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
