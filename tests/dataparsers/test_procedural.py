"""Rays meet surfaces where they should, and what is drawn is the same thing from every side."""

import math
from dataclasses import replace

import pytest
import torch

from softmining_nerfstudio.dataparsers.procedural import raycast, ship
from softmining_nerfstudio.dataparsers.procedural.surfaces import Paint, Quadric, Surface


def test_poses_are_rigid_look_at_the_origin_from_above_and_differ_between_splits():
    poses = torch.cat([ship.cameras(60, 0.0), ship.cameras(8, 1.0), ship.cameras(8, 2.0)])
    rotation, eye = poses[..., :3], poses[..., 3]
    torch.testing.assert_close(rotation.mT @ rotation, torch.eye(3).expand_as(rotation), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(len(poses)))
    torch.testing.assert_close(eye, ship.DISTANCE * rotation[..., 2])
    assert (eye[:, 2] > 0).all()
    assert (rotation[:, 2, 1] > 0).all(), "a camera is upside down"
    assert torch.pdist(eye).min() > 0.1


def test_the_ship_lies_inside_the_scene_box_and_inside_every_picture():
    corners = torch.stack([surface.corners() for surface in ship.ship()])
    assert corners.abs().max() < 1.5
    images = raycast.render(ship.ship(), ship.cameras(12, 0.5), 64, 1)
    border = torch.cat([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]])
    assert not border[..., 3].any()


def test_a_ball_covers_the_area_of_its_silhouette():
    radius, resolution = 0.9, 160
    image = raycast.render([ship.ball((0, 0, 0), radius, ship.ROPE)], ship.cameras(1, 0.0), resolution, 2)
    tangent = radius / math.sqrt(ship.DISTANCE**2 - radius**2)
    area = math.pi * (raycast.focal_length(resolution) * tangent) ** 2
    assert (image[..., 3].double() / 255).sum().item() == pytest.approx(area, rel=0.005)


def test_what_is_hit_lies_on_the_surface_inside_its_box_and_clip():
    origins, directions = (rays.flatten(1) for rays in raycast.tile_rays(ship.cameras(2, 0.3), 64, 1))
    for surface in ship.ship():
        t = surface.first_hit(origins, directions)
        seen = t.isfinite()
        p = surface.to_local(origins[:, seen] + t[seen] * directions[:, seen])
        scale = surface.quadric.gradient(p).norm(dim=0).clamp_min(1e-3)
        assert ((surface.quadric.value(p) / scale).abs() < 5e-3).all()
        assert (p >= torch.tensor(surface.lower)[:, None] - 1e-3).all()
        assert (p <= torch.tensor(surface.upper)[:, None] + 1e-3).all()
        assert surface.clip is None or (surface.clip.value(p) <= 1e-3).all()


def test_of_two_surfaces_the_nearer_is_seen():
    red, blue = Paint((1.0, 0.0, 0.0)), Paint((0.0, 0.0, 1.0))
    pose = ship.cameras(1, 0.0)
    x, y, z = (0.5 * pose[0, :, 2]).tolist()
    surfaces = [ship.ball((x, y, z), 0.2, red), ship.ball((-x, -y, -z), 0.2, blue)]
    for order in (surfaces, surfaces[::-1]):
        middle = raycast.render(order, pose, 33, 1)[0, 16, 16]
        assert middle[0] > 0
        assert middle[2] == 0


def test_skipping_tiles_changes_no_pixel(monkeypatch):
    poses = ship.cameras(2, 0.7)
    quick = raycast.render(ship.ship(), poses, 44, 1)

    def every_tile(surfaces, poses, resolution):
        return torch.ones(len(surfaces), len(poses) * math.ceil(resolution / raycast.TILE) ** 2, dtype=torch.bool)

    monkeypatch.setattr(raycast, "tiles_of", every_tile)
    assert torch.equal(quick, raycast.render(ship.ship(), poses, 44, 1))


def test_a_point_of_a_matte_texture_reprojects_onto_its_colour_in_every_view():
    tiles = replace(ship.MARBLE, waves=(2.0, 2.0, 0.0))
    floor = Surface(Quadric(linear=(0, 0, 1)), tiles, ship.scaled(1, 1, 1), (0, 0, 0))
    squares = torch.arange(-3.5, 4) / 4
    points = torch.cartesian_prod(squares, squares, torch.zeros(1))
    poses = ship.cameras(12, 0.2)[5:]
    images = raycast.render([floor], poses, 120, 2)
    pixels = raycast.project(points, poses, 120).floor().long()
    view = torch.arange(len(poses))[:, None]
    colours = images[view, pixels[..., 1], pixels[..., 0], :3].float() / 255
    expected = floor.shade(points.T, -poses[0, :, 2:3].expand(3, len(points))).T
    assert expected.std(0).min() > 0.1, "the texture must tell points apart"
    torch.testing.assert_close(colours, expected.expand_as(colours), atol=0.01, rtol=0)


def test_highlights_depend_on_the_view_and_matte_paint_does_not():
    point, directions = torch.tensor([[0.0], [0.0], [0.2]]), -ship.cameras(40, 0.0)[:, :, 2].T
    for paint, least, most in ((ship.BRASS, 0.1, 1.0), (ship.ROPE, 0.0, 1e-6)):
        colours = ship.ball((0, 0, 0), 0.2, paint).shade(point.expand(3, 40), directions)
        spread = (colours.amax(1) - colours.amin(1)).max().item()
        assert least <= spread <= most


def test_thin_ropes_are_unbroken_in_single_precision():
    """Every row of pixels between the ends of an upright rod of 1/4 pixel sees it, if sampled finely enough."""
    rope = ship.rod((0, 0, -0.9), (0, 0, 0.9), 0.0025, ship.ROPE)
    image = raycast.render([rope], ship.cameras(1, 0.4), 100, 12)[0]
    top, bottom = raycast.project(torch.tensor([[0, 0, 0.9], [0, 0, -0.9]]), ship.cameras(1, 0.4), 100)[0, :, 1]
    assert (image[math.ceil(top) : math.floor(bottom), :, 3].amax(1) > 0).all()


def test_most_of_every_picture_is_empty_and_15_to_30_percent_on_average_is_ship():
    shares = (raycast.render(ship.ship(), ship.cameras(16, 0.0), 64, 2)[..., 3].float() / 255).mean((1, 2))
    assert shares.min() > 0.13
    assert shares.max() < 0.40
    assert 0.15 < shares.mean() < 0.30


def test_the_images_are_composed_with_the_background_by_straight_alpha():
    white = ship.ball((0, 0, 0), 0.9, Paint((1.0, 1.0, 1.0)))
    image = raycast.render([white], ship.cameras(1, 0.0), 64, 3)[0]
    edge = (image[..., 3] > 0) & (image[..., 3] < 255)
    assert edge.any()
    assert image[edge][:, :3].float().mean() > 0.3 * 255, "colours must not be darkened by their coverage"
    assert not image[image[..., 3] == 0].any()


def test_the_ship_is_drawn_alike_by_any_number_of_threads():
    threads, images = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            images.append(raycast.render(ship.ship(), ship.cameras(2, 0.1), 40, 2))
            assert torch.get_num_threads() == count, "rendering must give the threads back"
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*images)
