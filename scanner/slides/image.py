"""ImageSlide: a plain field in PNG, JPEG, WebP or BMP, decoded whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from scanner.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from scanner.geometry.frames import Box
from scanner.slides.files.foreign import foreign_errors_become
from scanner.slides.files.magic import JPEG_HEAD, PNG_HEAD, is_webp
from scanner.slides.metadata.contents import FileContents, choose_image, sole_image
from scanner.slides.metadata.resolution import settle_mpp
from scanner.slides.pixels.colour import composite, eight_bits, rgb_from_grey
from scanner.slides.pixels.mosaic import assemble
from scanner.slides.pixels.protocol import ImageInfo, Pixels, Slide, levels_from_sizes

#: A field is held in memory whole; a larger picture belongs into a tiled TIFF.
MAX_FIELD_AREA = 2**28  # px

#: First bytes -> PIL's reader. Named one by one: Image.open would try every format there is, and has its own bound.
READERS: dict[bytes, type[ImageFile.ImageFile]] = {
    PNG_HEAD: PngImagePlugin.PngImageFile,
    JPEG_HEAD: JpegImagePlugin.JpegImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
}


class ImageSlide(Slide):
    """A plain field. Its density (JFIF, pHYs) is not believed: programs write 72 or 96 dpi there, whatever it shows."""

    def __init__(self, path: Path, *, image: int | None = None) -> None:
        self.path = path
        with foreign_errors_become(DamagedSlideError, f"{path}: damaged image"):
            decoded, self.has_icc = _decode(path)
        self._pixels: Pixels | None = decoded
        self.levels = levels_from_sizes([decoded.shape[:2]])
        self.file_mpp = settle_mpp(None, is_slide=False)
        self.mpp, self.mpp_source = self.file_mpp.value, self.file_mpp.source
        self.images: tuple[ImageInfo, ...] = (sole_image(self.levels, self.file_mpp),)
        self.image = choose_image(self.images, path, image)

    def read(self, level: int, box: tuple[int, int, int, int]) -> Pixels:
        """Pixels of `box` in the field's pixels; see `Slide.read`."""
        if (pixels := self._pixels) is None:
            raise SlideError(f"{self.path} is closed")
        return assemble(
            self.levels[level], Box(*box), tile_shape=(len(pixels), pixels.shape[1]), tile_at=lambda _row, _col: pixels
        )

    def close(self) -> None:
        """Let go of the pixels."""
        self._pixels = None


def reader_for(head: bytes) -> type[ImageFile.ImageFile] | None:
    """PIL's reader for a file that begins with `head`."""
    if is_webp(head):
        return WebPImagePlugin.WebPImageFile
    return next((reader for magic, reader in READERS.items() if head.startswith(magic)), None)


def describe_field(path: Path) -> FileContents:
    """All that a plain image holds."""
    with path.open("rb") as file:
        reader = reader_for(file.read(16))
    assert reader is not None, path
    with ImageSlide(path) as field:
        return FileContents(path, str(reader.format), "PIL", field.images, field.notes, field.has_icc)


def _decode(path: Path) -> tuple[Pixels, bool]:
    """RGB, and whether the file carries an ICC profile."""
    with path.open("rb") as file:
        reader = reader_for(file.read(16))
        file.seek(0)
        assert reader is not None, path
        with reader(file, str(path)) as image:
            if image.width * image.height > MAX_FIELD_AREA:
                raise UnsupportedSlideError(
                    f"{path}: {image.width} x {image.height} px are too many for a plain image "
                    f"(at most {MAX_FIELD_AREA}); save it as a tiled TIFF"
                )
            return _rgb_from_image(image), bool(image.info.get("icc_profile"))


def _rgb_from_image(image: Image.Image) -> Pixels:
    """RGB of any mode of PIL: alpha before white, palettes looked up, 16 bits cut to 8. EXIF orientation is left."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return rgb_from_grey(eight_bits(np.asarray(image).astype(np.uint16)))
    if image.has_transparency_data:
        return composite(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))
