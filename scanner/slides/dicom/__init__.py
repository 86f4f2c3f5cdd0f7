"""Headers of DICOM files: which files are levels or focal planes of one slide."""
