"""Write every generated file anew: `python -m manual`, or `make manual`."""

from __future__ import annotations

from manual import generated


def main() -> None:
    for path, text in generated.files().items():
        if path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(f"wrote {path.relative_to(generated.ROOT)}")


if __name__ == "__main__":
    main()
