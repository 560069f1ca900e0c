"""Plots of the "Soft mining" panel, made by plotly."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots
from torch import Tensor

from softmining_nerfstudio.sampling.history import History


def heat_maps(maps: dict[str, tuple[Tensor, str]], height_by_width: float) -> go.Figure:
    """Maps of an image side by side, by title, and their colour scales, in the proportions of the image."""
    figure = make_subplots(1, len(maps), subplot_titles=tuple(maps))
    for column, (values, colours) in enumerate(maps.values(), 1):
        most = float(values.max()) or 1.0  # no ray at all is none, not a medium number
        heat = go.Heatmap(z=values.tolist(), zmin=0, zmax=most, colorscale=colours, showscale=False)
        figure.add_trace(heat, 1, column)
        ratio, along = height_by_width * values.shape[1] / values.shape[0], "x" if column == 1 else f"x{column}"
        figure.update_yaxes(row=1, col=column, scaleanchor=along, scaleratio=ratio)
    figure.update_xaxes(showticklabels=False, constrain="domain")
    figure.update_yaxes(showticklabels=False, constrain="domain", autorange="reversed")
    return _laid_out(figure)


def curves(history: History) -> go.Figure:
    """The miner's numbers over the steps, each in a plot of its own."""
    names = history.names()
    figure = make_subplots(max(1, len(names)), 1, shared_xaxes=True, subplot_titles=names, vertical_spacing=0.08)
    for row, name in enumerate(names, 1):
        steps, values = history.curve(name)
        figure.add_trace(go.Scatter(x=steps, y=values, mode="lines"), row, 1)
    return _laid_out(figure)


def error_of_images(errors: Tensor) -> go.Figure:
    """A bar for every training image; none for NaN."""
    figure = make_subplots(1, 1, subplot_titles=("mean error of each image's rays",))
    figure.add_trace(go.Bar(y=[None if e != e else e for e in errors.tolist()]))
    return _laid_out(figure)


def _laid_out(figure: go.Figure) -> go.Figure:
    """In the viewer's colours, and small enough for its side bar."""
    figure.update_annotations(font_size=11)
    return figure.update_layout(
        margin={"l": 30, "r": 10, "t": 30, "b": 25}, template="plotly_dark", showlegend=False, font_size=9
    )
