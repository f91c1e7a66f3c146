"""Sums that the report needs: percentiles, energy of readings with gaps, slopes and means with
their intervals."""

import math

GAP_S = 2.5  # readings further apart than this have a gap between them, which nobody fills

# Student's t for 95 %, two-sided, by degrees of freedom; beyond: that of the last.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179,
        2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
        2.060, 2.056, 2.052, 2.048, 2.045, 2.042)
_BLOCKS = 20


def t95(freedom):
    return _T95[min(max(1, freedom), len(_T95)) - 1]


def percentile(ordered, share):
    """By the nearest rank, of sorted values; 0 of none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def mean_interval(values):
    """(mean, half the width of its 95 % interval); None for the width of a single value."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    return mean, t95(len(values) - 1) * spread / math.sqrt(len(values))


def integrate(readings, begin, end):
    """Joules of [(t, watts or None)] between two instants by the trapezoid rule, the seconds
    that readings cover, and the gaps [(from, to)] between readings, which count for nothing."""
    good = [(t, watts) for t, watts in readings if watts is not None]
    joules = covered = 0.0
    gaps, reached = [], begin
    for (t, watts), (later, its_watts) in zip(good, good[1:]):
        if later <= begin or t >= end:
            continue
        low, high = max(t, begin), min(later, end)
        if later - t > GAP_S:
            continue
        slope = (its_watts - watts) / (later - t) if later > t else 0.0
        at_low, at_high = watts + slope * (low - t), watts + slope * (high - t)
        joules += (at_low + at_high) / 2 * (high - low)
        covered += high - low
        if low > reached + 1e-6:
            gaps.append((reached, low))
        reached = high
    if end > reached + 1e-6:
        gaps.append((reached, end))
    return joules, covered, gaps


def blocks(points, count=_BLOCKS):
    """Means of (t, value) over so many equal parts of their time: what follows each other is
    alike, and would make an interval too narrow."""
    if not points:
        return []
    begin, end = points[0][0], points[-1][0]
    width = (end - begin) / count or 1.0
    parts = {}
    for t, value in points:
        parts.setdefault(min(count - 1, int((t - begin) / width)), []).append((t, value))
    return [(sum(t for t, _ in part) / len(part), sum(v for _, v in part) / len(part))
            for _, part in sorted(parts.items())]


def slope_per_hour(*groups):
    """(slope, low, high) of (t in s, value) by least squares over the means of blocks, with
    its 95 % interval; None of too few. Several groups have one slope, and a level each."""
    rows, levels = [], 0
    for points in groups:
        own = blocks(points, max(4, _BLOCKS // len(groups)))
        if len(own) > 1:
            mean_t = sum(t for t, _ in own) / len(own)
            mean_v = sum(v for _, v in own) / len(own)
            rows += [(t - mean_t, v - mean_v) for t, v in own]
            levels += 1
    freedom = len(rows) - levels - 1
    below = sum(t ** 2 for t, _ in rows)
    if freedom < 1 or not below:
        return None
    slope = sum(t * v for t, v in rows) / below
    left = sum((v - slope * t) ** 2 for t, v in rows)
    half = t95(freedom) * math.sqrt(left / freedom / below)
    return slope * 3600, (slope - half) * 3600, (slope + half) * 3600
