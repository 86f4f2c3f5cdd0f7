"""What can go wrong in a scan.

ScannerError
 ├── InexactLayerError            a layer of the classifier cannot be made dense exactly
 ├── SettingsError                a setting is impossible; the message names it
 │    ├── UnavailableError        this machine has not what a setting asks for; says what it has
 │    ├── ImageNotFoundError      a file has no image of that index; names those it has
 │    └── MaskError               a mask cannot be read, or is none of this slide
 ├── OutputExistsError            the result folder holds another scan
 ├── OutputError                  a result cannot be written (disk full, share gone)
 ├── ClusterError                 the hosts of a batch cannot be reached
 ├── ScanCancelledError           the caller asked the scan to stop
 ├── DeviceMemoryError            the device has no memory for the smallest tile
 ├── NonFiniteScoreError          the network's scores are not numbers (NaN), or infinite; names the tile
 └── SlideError
      ├── SlideNotFoundError      no such file, or it may not be read
      ├── UnsupportedSlideError   not a slide or image that any reader knows
      ├── DamagedSlideError       the file is broken as a whole
      ├── SlideMemoryError        to open it takes more memory than there is
      ├── UnreadableRegionError   some pixels cannot be decoded, the rest can
      └── ResolutionError         mpp is missing or implausible; says which flag to pass
"""


class ScannerError(Exception):
    """Base of everything that `scanner` raises on purpose.

    Examples
    --------
    >>> from scanner import ScannerError, open_slide
    >>> try:
    ...     open_slide("nowhere.svs")
    ... except ScannerError as error:
    ...     print(error)
    nowhere.svs: No such file or directory
    """


class InexactLayerError(ScannerError, ValueError):
    """A layer of the classifier cannot be made dense exactly.

    Examples
    --------
    >>> from torch import nn
    >>> from scanner import InexactLayerError, densify
    >>> padded = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 9 * 9, 2)).eval()
    >>> try:
    ...     densify(padded, patch_size=9)
    ... except InexactLayerError as error:
    ...     print(error.layer)
    0
    """

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(f"layer {layer!r} cannot be made dense exactly: {reason}")
        #: Qualified name of the layer within the network, e.g. "features.3".
        self.layer = layer
        self.reason = reason


class SettingsError(ScannerError, ValueError):
    """A setting is impossible."""


class UnavailableError(SettingsError):
    """The machine has not what a setting asks for."""


class ImageNotFoundError(SettingsError, LookupError):
    """A file has no image of that index."""


class MaskError(SettingsError):
    """A mask cannot be read, or is none of this slide."""


class OutputExistsError(ScannerError, FileExistsError):
    """The result folder holds another scan."""


class OutputError(ScannerError, OSError):
    """A result cannot be written."""


class ClusterError(ScannerError, RuntimeError):
    """The hosts of a batch cannot be reached."""


class ScanCancelledError(ScannerError):
    """The caller asked the scan to stop."""


class DeviceMemoryError(ScannerError, MemoryError):
    """The device has no memory for the smallest tile."""


class NonFiniteScoreError(ScannerError, FloatingPointError):
    """The network's scores are not numbers (NaN), or infinite."""


class SlideError(ScannerError):
    """Base of what is wrong with a slide."""


class SlideNotFoundError(SlideError, FileNotFoundError):
    """There is no such file, or it may not be read."""


class UnsupportedSlideError(SlideError, ValueError):
    """Not a slide or image that any reader knows."""


class DamagedSlideError(SlideError, OSError):
    """The file is broken as a whole."""


class SlideMemoryError(SlideError, MemoryError):
    """To open the slide takes more memory than there is."""


class UnreadableRegionError(SlideError, OSError):
    """Some pixels cannot be decoded; the rest of the slide can."""


class ResolutionError(SlideError, ValueError):
    """Micrometres per pixel are missing or implausible."""
