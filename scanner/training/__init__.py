"""From labelled fields to a model folder: recipe, crops, dense learning, hard negatives."""
