"""Charts as inline SVG. Colours are the page's, so that they are right in light and in dark."""

import math
from html import escape

WIDTH, LABEL, BAR, GAP = 720, 130, 20, 6


def bars(values, goal=0, unit=''):
    """`values`: label, number, and whether it is ours. A line stands at the goal."""
    values = [value for value in values if value[1] is not None]
    if not values:
        return ''
    sizes = sorted(value[1] for value in values)
    # One that is far off would leave nothing to see of the others: it is cut, and says so by its number.
    most = max(min(sizes[-1], 6 * sizes[len(sizes) // 2]), goal * 1.1, 1e-9)
    scale = (WIDTH - LABEL - 90) / most
    height = len(values) * (BAR + GAP) + 22
    parts, numbers = [], []
    for index, (label, number, ours) in enumerate(values):
        y = index * (BAR + GAP)
        width = max(1, min(number, most) * scale)
        torn = number > most
        parts.append(f'<text class="label" x="{LABEL - 8}" y="{y + 15}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<rect class="{"ours" if ours else "bar"}" x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>')
        if torn:
            at = LABEL + width - 14
            parts.append(f'<path class="torn" d="M{at:.0f} {y}l6 {BAR}M{at + 6:.0f} {y}l6 {BAR}"/>')
        numbers.append(f'<text class="number" x="{LABEL + width + 6:.1f}" y="{y + 15}">{figure(number)}</text>')
    if goal:
        x = LABEL + goal * scale
        parts.append(f'<path class="goal" d="M{x:.1f} 0V{height - 20}"/>')
        parts.append(f'<text class="goal-text" x="{x:.1f}" y="{height - 5}" text-anchor="middle">goal {figure(goal)}</text>')
    # Numbers may stand upon that line.
    return svg(WIDTH, height, [*parts, *numbers], unit)


def lines(series, x_title, y_title):
    """`series`: name, points. Numbers of clients by their logarithm."""
    width, height, left, right, bottom = 720, 260, 80, 40, 40
    points = [point for _, line in series for point in line]
    if not points:
        return ''
    low, high = math.log10(min(x for x, _ in points)), math.log10(max(x for x, _ in points))
    most = 4 * round_up(max(y for _, y in points) * 1.05 / 4)

    def place(x, y):
        across = (math.log10(x) - low) / ((high - low) or 1)
        return left + across * (width - left - right), (height - bottom) * (1 - y / most) + 10

    parts = []
    for step in range(5):
        value = most * step / 4
        _, y = place(10 ** low, value)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{width - right}"/>')
        parts.append(f'<text class="number" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{figure(value)}</text>')
    for x in sorted({x for x, _ in points}):
        across, _ = place(x, 0)
        parts.append(f'<text class="number" x="{across:.1f}" y="{height - 12}" text-anchor="middle">{x:,}</text>')
    for index, (name, line) in enumerate(series):
        path = 'M' + 'L'.join('{:.1f} {:.1f}'.format(*place(x, y)) for x, y in line)
        parts.append(f'<path class="line line{index}" d="{path}"/>')
        for x, y in line:
            across, down = place(x, y)
            parts.append(f'<circle class="dot{index}" cx="{across:.1f}" cy="{down:.1f}" r="3.5"><title>{escape(name)}: '
                         f'{x:,}: {figure(y)}</title></circle>')
    parts.append(f'<text class="label" x="{(width + left) / 2}" y="{height + 6}" text-anchor="middle">{escape(x_title)}</text>')
    legend = ' '.join(f'<span class="key key{index}">{escape(name)}</span>' for index, (name, _) in enumerate(series))
    return f'<p class="legend">{escape(y_title)}: {legend}</p>' + svg(width, height + 14, parts, y_title)


def round_up(number):
    """To the next step that an axis may have."""
    power = 10 ** math.floor(math.log10(number or 1))
    return next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= number)


def svg(width, height, parts, title):
    return (f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">' + ''.join(parts) + '</svg>')


def figure(number):
    if number is None:
        return '–'
    if abs(number) >= 100:
        return f'{number:,.0f}'
    return f'{number:.1f}' if abs(number) >= 10 else f'{number:.2f}'
