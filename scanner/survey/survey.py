"""The survey of a slide: everything that a scan must know before the network runs, and that needs no network."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from models.card import ModelCard
from scanner.errors import ResolutionError
from scanner.geometry.frames import Box, Frame, plan_frame
from scanner.settings import ScanSettings, scan_stride
from scanner.slides import Slide
from scanner.slides.metadata.contents import further_image
from scanner.slides.opening import expect_channels
from scanner.slides.pixels.grid import Grid
from scanner.slides.pixels.protocol import RGB
from scanner.stage_clock import Spent, read_clocks
from scanner.survey.appearance import appearance_of
from scanner.survey.brightfield import refuse_other_stains
from scanner.survey.domain import DomainCheck, check_domain
from scanner.survey.mask_files import find_mask
from scanner.survey.masks import restrict
from scanner.survey.stain import Block, SlideStatistics, measure_slide, read_blocks, sample_blocks
from scanner.survey.tissue import TissueMask, find_tissue, full_tissue

#: A slide whose pixels are this many times larger than the model's shows no figures, only what interpolation invents.
COARSEST = 4.0


@dataclass(frozen=True)
class Survey:
    """What is known of a slide before the network runs."""

    frame: Frame
    #: Where the level-0 mpp comes from.
    mpp_source: str
    grid: Grid
    tissue: TissueMask
    #: The tissue without the mask that the caller may have given.
    whole_tissue: TissueMask
    #: Blocks in grid px that stand for the whole slide: its stain and its background are measured on them.
    sample: tuple[Box, ...]
    statistics: SlideStatistics
    #: How far it is from what the model was trained on; None if the card does not say, or there is too little tissue.
    domain: DomainCheck | None
    #: What the survey took, on its own thread.
    spent: Spent


def survey_slide(slide: Slide, card: ModelCard, settings: ScanSettings) -> Survey:
    """Find the slide's resolution and its tissue, and measure its stain.

    Raises
    ------
    SlideError
        The slide is not what the model can look at: resolution, stain, or a mask that cannot be read.
    """
    started = read_clocks(time.thread_time)
    expect_channels(slide, card.normalisation.pixel_channels)
    level0_mpp, mpp_source = resolve_mpp(slide, card)
    level0 = slide.levels[0]
    frame = plan_frame((level0.height, level0.width), level0_mpp, card.mpp, scan_stride(settings, card.stride))
    reads_colour = card.normalisation.channels == RGB
    if reads_colour and not settings.any_stain:
        refuse_other_stains(slide, frame)
    grid = Grid(slide, frame)
    # Tissue is known by its colour: other channels than red, green and blue have none.
    finds_tissue = settings.tissue and reads_colour
    whole = find_tissue(slide, frame, keep_ink=settings.keep_ink) if finds_tissue else full_tissue(frame)
    # Measured on all tissue, so that a mask changes where is scanned and nothing of what is found there.
    sample = tuple(sample_blocks(whole))
    blocks: Iterable[Block] = read_blocks(grid, sample)
    if card.domain is not None and reads_colour:
        blocks = list(blocks)  # Read once, looked at twice.
        domain = check_domain(card.domain, appearance_of(grid, whole, blocks))
    else:
        domain = None
    statistics = measure_slide(blocks, card.normalisation)
    tissue = whole
    if settings.mask is not None:
        mask = find_mask(settings.mask, slide.path, image=further_image(slide))
        tissue = restrict(whole, mask, origin=slide.origin)
    spent = read_clocks(time.thread_time) - started
    return Survey(frame, mpp_source, grid, tissue, whole, sample, statistics, domain, spent)


def resolve_mpp(slide: Slide, card: ModelCard) -> tuple[float, str]:
    """Level-0 mpp and where it comes from; an image that does not say is taken at the model's mpp.

    Raises
    ------
    ResolutionError
        The slide is too coarse for what the model looks for.
    """
    if slide.mpp is None:
        return card.mpp, "assumed"
    if slide.mpp > card.mpp * COARSEST:
        raise ResolutionError(
            f"{slide.path}: {slide.mpp:g} um/px is too coarse for {card.name}, which was trained at {card.mpp:g}; "
            "pass --mpp if the slide's own figure is wrong"
        )
    return slide.mpp, slide.mpp_source
