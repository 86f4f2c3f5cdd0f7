"""Names of the files of a scan, within the result folder of its slide."""

DETECTIONS_NAME = "detections.geojson"
REGIONS_NAME = "regions.geojson"
#: A folder of results is a folder of masks: this one.
TISSUE_NAME = "tissue.geojson"
TABLE_NAME = "detections.csv"
CANDIDATES_NAME = "candidates.csv"
MAP_NAME = "map.ome.tiff"
MAP_PICTURE_NAME = "map.png"
OVERVIEW_NAME = "overview.png"
PAGE_NAME = "report.html"
#: Only written by models for segmentation.
LABELS_NAME = "segmentation.ome.tiff"
CLASSES_NAME = "segmentation.png"
#: Only written if asked for.
ZARR_NAME = "map.ome.zarr"
POINTS_NAME = "mitotic-figures.json"
ANNOTATIONS_NAME = "annotations.dcm"
MAP_DICOM_NAME = "map.dcm"
#: Written last: a folder that has it is complete.
REPORT_NAME = "run.json"
