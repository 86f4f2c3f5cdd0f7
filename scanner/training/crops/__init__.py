"""Training crops: places drawn, cut, blended into other tissue, and seen by other stains and devices."""
