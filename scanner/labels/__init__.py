"""Labels in the forms that people have them in: points, QuPath's GeoJSON, COCO and MIDOG, label images."""
