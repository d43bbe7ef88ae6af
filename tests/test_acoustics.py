"""Sound in places has closed forms: distances, mirrors, delays, rooms."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synesthesia.acoustics import (
    GROUNDS,
    Air,
    Outdoors,
    Receiver,
    Renderer,
    Room,
    Screen,
    kemar,
    poses,
    receiver,
    sphere,
    walk,
)
from synesthesia.acoustics import ears as ears_room
from synesthesia.acoustics.filters import BANDS, POWERS, TAPS, band_shapes, interpolator, minimum_phase
from synesthesia.acoustics.outdoors import ground_absorption, shadow
from synesthesia.acoustics.rooms import LINES, network
from synesthesia.evaluate import walk as measures
from synesthesia.senses import InputError, Listener, Sound, Source

RATE = 48_000
STILL = Air(absorbing=False)
FREE = Outdoors(ground=None, air=STILL)


@pytest.fixture(scope="module")
def two() -> Receiver:
    return receiver("binaural", RATE, sphere(RATE))


@pytest.fixture(scope="module")
def dummy() -> Receiver:
    """KEMAR."""
    return receiver("binaural", RATE)


def moving(
    place: Outdoors | Room, hears: Receiver, blocks: int = 12, block: int = 256, mirrored: int = 1
) -> np.ndarray:
    """Two sources and a listener who move; all that is random is drawn for samples, not for blocks."""
    rng = np.random.default_rng(3)
    sound = rng.standard_normal((2, blocks * 256)).astype(np.float32) * 0.1
    renderer = Renderer(2, place, hears, RATE, block)
    out = []
    for i in range(blocks * 256 // block):
        t = (i + 1) * block / RATE
        positions = np.array([[mirrored * (1 - 3 * t), 0.1, -1.5], [mirrored * -0.8, 0.3, 1 - 4 * t]])
        listener = Listener((mirrored * 0.5 * t, 0.0, 0.0), mirrored * 200 * t)
        out.append(renderer.render(sound[:, i * block : (i + 1) * block], positions, listener))
    return np.concatenate(out, axis=1)


# --- air, filters ----------------------------------------------------------------------------------------------------


def test_air_takes_what_the_standard_says() -> None:
    """ISO 9613-1, table 1: 20 °C, 50 % humidity: 1.37 dB/km at 250 Hz... 4.66 at 1 kHz, 105 at 8 kHz (here ± 2 %)."""
    loss = 1000 * Air(20.0, 50.0).loss(np.array([1000.0, 4000.0, 8000.0]))
    np.testing.assert_allclose(loss, [4.66, 29.0, 105.0], rtol=0.025)
    assert pytest.approx(343.2, abs=0.1) == Air(20.0).speed


@settings(max_examples=30, deadline=None)
@given(st.floats(-40, 60), st.floats(1, 100))
def test_air_only_takes_and_takes_more_of_the_treble(celsius: float, humidity: float) -> None:
    loss = Air(celsius, humidity).loss(np.geomspace(20, 20_000, 30))
    assert (loss > 0).all()
    assert (np.diff(loss) > 0).all()


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1), st.floats(0.005, 0.3))
def test_the_interpolator_delays_a_tone_by_any_fraction(fraction: float, frequency: float) -> None:
    """Up to 14 kHz at 48 kHz the error is below −65 dB."""
    taps = interpolator().astype(float) @ (fraction - 0.5) ** np.arange(POWERS)
    turn = np.exp(-2j * np.pi * frequency * np.arange(TAPS))
    wanted = np.exp(-2j * np.pi * frequency * (TAPS / 2 - 1 + fraction))
    assert abs(turn @ taps - wanted) < 10 ** (-65 / 20)


def test_colours_are_causal_add_up_and_have_the_level_asked_for() -> None:
    shapes = band_shapes(RATE, 257)
    np.testing.assert_allclose(shapes.sum(0), 1, atol=1e-12)
    even = np.exp(minimum_phase(np.full(257, -6.0)))
    np.testing.assert_allclose(even, 10 ** (-0.3), rtol=1e-9)
    slope = np.linspace(0, -20, 257)
    response = np.fft.irfft(np.exp(minimum_phase(slope)))
    assert np.square(response[100:]).sum() < 1e-6 * np.square(response).sum()
    np.testing.assert_allclose(minimum_phase(slope) * 2, minimum_phase(2 * slope))


# --- ears ------------------------------------------------------------------------------------------------------------


def test_the_sphere_in_the_limits() -> None:
    """Long waves pass as if it were not there; short ones press twice as hard on the lit side."""
    ka = np.array([0.0, 0.01, 60.0])
    front, back = sphere_response = ears_room.sphere_response(ka, np.array([1.0, -0.9]))
    assert sphere_response.shape == (2, 3)
    np.testing.assert_allclose(np.abs([front[:2], back[:2]]), 1, atol=1e-3)
    assert abs(front[2]) == pytest.approx(2, rel=0.02)
    assert abs(back[2]) < 0.3


def test_the_delay_of_a_sphere_is_woodworths() -> None:
    """a/c (θ + sin θ) between ears at ±90°; ours sit at ±100°, so that at 80° the near one is met head-on."""
    delays = ears_room.sphere_delays(ears_room.direction(np.array([100.0, 0.0])))
    assert delays[0, 0] == pytest.approx(-0.0875 / 343.2)
    assert delays[1, 0] == delays[1, 1]


def test_kemar_is_symmetric_smooth_and_of_a_heads_size() -> None:
    ears = kemar(RATE)
    np.testing.assert_array_equal(ears.responses, ears.responses[:, ::-1, ::-1])
    middle = len(ears.delays) // 2
    itd = ears.delays[middle, :, 1] - ears.delays[middle, :, 0]
    side = int((90 + 180) / ears_room.STEP)
    assert 600e-6 < itd[side] < 900e-6
    assert np.abs(np.diff(itd)).max() < 100e-6, "no jump between neighbours five degrees apart"
    energy = np.square(ears.responses[middle, side]).sum(-1)
    assert energy[0] > 5 * energy[1], "the left ear hears what is on the left"


@settings(max_examples=50, deadline=None)
@given(st.floats(-180, 180), st.floats(-90, 90))
def test_neighbours_surround_their_direction(azimuth: float, elevation: float) -> None:
    toward = ears_room.direction(np.array([azimuth]), np.array([elevation]))
    index, weight = ears_room.neighbours(toward)
    assert weight.sum() == pytest.approx(1)
    assert (weight >= -1e-9).all()
    corners = ears_room._grid().reshape(-1, 3)[index[0]]
    assert float((corners @ toward[0])[weight[0] > 0.01].min()) > math.cos(math.radians(7.2))


def test_a_head_measured_at_other_directions_is_the_same_head() -> None:
    """Responses of the sphere at odd directions, fitted, give its table back."""
    truth = sphere(RATE)
    rng = np.random.default_rng(0)
    toward = rng.standard_normal((700, 3))
    toward /= np.linalg.norm(toward, axis=1, keepdims=True)
    fitted = ears_room.fit(ears_room.Responses(toward, truth.response(toward).astype(float), RATE), RATE, "again")
    asked = ears_room.direction(np.arange(-172.0, 180, 16), 12.0)
    times, levels = measures.cues(fitted.response(asked).astype(float), RATE)
    true_times, true_levels = measures.cues(truth.response(asked).astype(float), RATE)
    assert np.abs(times - true_times).max() < 25e-6
    assert np.median(np.abs(levels - true_levels)) < 0.5


def test_levels_without_delays_get_those_of_a_sphere() -> None:
    truth = sphere(RATE)
    toward = ears_room._grid()[4:-4:4, :-1:4].reshape(-1, 3)
    aligned = truth.responses[4:-4:4, :-1:4].reshape(-1, 2, truth.responses.shape[-1])
    fitted = ears_room.fit(ears_room.Responses(toward, aligned.astype(float), RATE), RATE, "magnitudes")
    side = fitted.delays[18, 54]
    assert side[1] - side[0] == pytest.approx(float(np.diff(truth.delays[18, 54])[0]), abs=1e-6)


# --- open air --------------------------------------------------------------------------------------------------------


def test_twice_as_far_is_6_db_less(dummy: Receiver) -> None:
    assert measures.doubling(dummy).value < 0.1


def test_sound_comes_when_it_should() -> None:
    heard = measures.impulse(FREE, (0.0, 0.0, -20.0), receiver("mono"), seconds=0.1)[0]
    assert int(np.abs(heard).argmax()) == pytest.approx(20 / STILL.speed * RATE, abs=1)


def test_a_source_that_comes_nearer_is_higher() -> None:
    """Doppler: f (1 + v/c), to first order what it is whoever moves."""
    renderer, blocks, speed = Renderer(1, FREE, receiver("mono"), RATE), 180, 20.0
    tone = np.sin(2 * np.pi * 1000 / RATE * np.arange(blocks * 256)).astype(np.float32).reshape(blocks, 1, 256)
    out = [renderer.render(tone[i], np.array([[0.0, 0.0, -30 + speed * (i + 1) * 256 / RATE]]), Listener())
           for i in range(blocks)]  # fmt: skip
    heard = np.concatenate(out, axis=1)[0, -16_384:] * np.hanning(16_384)
    peak = np.abs(np.fft.rfft(heard, 2**19)).argmax() * RATE / 2**19
    assert peak == pytest.approx(1000 * (1 + speed / STILL.speed), rel=1e-4)


def test_a_mirrored_scene_swaps_the_ears(dummy: Receiver) -> None:
    assert measures.mirror(dummy).value < -90
    one, other = moving(Outdoors(), dummy), moving(Outdoors(), dummy, mirrored=-1)
    assert np.abs(one - other[::-1]).max() < 1e-4 * np.abs(one).max(), "the ground's reflections too"


def test_turning_left_moves_the_world_right(two: Receiver) -> None:
    ahead = measures.impulse(FREE, (0.0, 0.0, -2.0), two, Listener(yaw=90.0))
    right = measures.impulse(FREE, (2.0, 0.0, 0.0), two)
    np.testing.assert_allclose(ahead, right, atol=1e-5)
    energy = np.square(right).sum(1)
    assert energy[1] > 2 * energy[0]


def test_offline_is_the_blocks_joined_and_repeats(two: Receiver) -> None:
    sources = [Source(Sound(np.random.default_rng(0).standard_normal(9000) * 0.1, RATE), (1.0, 0.0, -2.0)),
               Source(Sound(np.ones(500), RATE), (-4.0, 0.0, 1.0), width=3.0)]  # fmt: skip
    path = [Listener(), Listener((1.0, 0.0, -1.0), 350.0)]
    bed = Sound(np.full(3000, 0.01), RATE)
    first = [s.samples for s in walk(Renderer(2, Outdoors(), two), sources, path, 0.25, bed)]
    again = [s.samples for s in walk(Renderer(2, Outdoors(), two), sources, path, 0.25, bed)]
    joined = np.concatenate(first, axis=1)
    assert joined.shape == (2, 12_000)
    np.testing.assert_array_equal(joined, np.concatenate(again, axis=1))


def test_the_size_of_blocks_hardly_matters(two: Receiver) -> None:
    """Motion is even within a block, so a finer division changes little, and it changes less and less."""
    fine, middle, coarse = (moving(FREE, two, blocks=32, block=b) for b in (64, 128, 512))
    scale = np.abs(fine).max()
    assert np.abs(middle - fine).max() < 0.02 * scale
    assert np.square(middle - fine).sum() < 0.2 * np.square(coarse - fine).sum()


def test_renderers_may_share_their_ears(two: Receiver) -> None:
    alone = moving(FREE, two, blocks=4)
    Renderer(1, FREE, two, RATE, 1024).render(np.zeros((1, 1024), np.float32), np.ones((1, 3)), Listener())
    np.testing.assert_array_equal(moving(FREE, two, blocks=4), alone)


def test_no_clicks_when_the_head_moves(dummy: Receiver) -> None:
    assert measures.clicks(dummy).value < -80


def test_a_leap_fades_instead_of_chirping() -> None:
    """A listener who is suddenly elsewhere hears the new place after one block, without a step."""
    renderer = Renderer(1, FREE, receiver("mono"), RATE)
    tone = np.sin(2 * np.pi * 250 / RATE * np.arange(80 * 256)).astype(np.float32).reshape(80, 1, 256)
    there = [np.array([[0.0, 0.0, -2.0 if i < 60 else -30.0]]) for i in range(80)]
    out = np.concatenate([renderer.render(tone[i], there[i], Listener()) for i in range(80)], axis=1)[0]
    steps = np.abs(np.diff(out.astype(float), 4)) / 3
    assert steps[40 * 256 : 70 * 256].max() < 10 ** (-80 / 20)
    after = out[61 * 256 : 64 * 256]
    assert np.abs(after).max() == pytest.approx(1 / 30, rel=0.02)


def test_the_ground_gives_back_what_it_does_not_take() -> None:
    """Two arrivals, at the way's and at its mirror image's distance, the later one weaker by both."""
    place = Outdoors("water", air=STILL)
    heard = measures.impulse(place, (0.0, 0.0, -3.0), receiver("mono"))[0]
    ways = np.array([3.0, math.hypot(3.0, 3.2)])
    first, second = (ways / STILL.speed * RATE).round().astype(int)
    gap = (first + second) // 2
    ratio = np.square(heard[gap:]).sum() / np.square(heard[:gap]).sum()
    assert ratio == pytest.approx((ways[0] / ways[1]) ** 2, rel=0.05)
    grass, snow = (np.array(ground_absorption(name)) for name in ("grass", "snow"))
    assert (snow[:4] > grass[:4]).all(), "snow is softer"
    assert all(0 <= a < 1 for name in GROUNDS for a in ground_absorption(name))


def test_far_sounds_are_duller() -> None:
    near, far = (np.abs(np.fft.rfft(measures.impulse(Outdoors(None), (0, 0, -d), receiver("mono"), seconds=0.5)[0]))
                 for d in (1.0, 100.0))  # fmt: skip
    hz = np.fft.rfftfreq(2 * (len(near) - 1), 1 / RATE)
    lost = 20 * np.log10(near / far) - 40
    for f in (1000.0, 4000.0, 8000.0):
        at = int(np.abs(hz - f).argmin())
        assert lost[at] == pytest.approx(99 * float(Air().loss(np.array([f]))[0]), abs=0.4)


def test_what_stands_between_takes_treble_first_and_nothing_jumps() -> None:
    wall = (Screen((-2.0, -2.0), (2.0, -2.0), 1.0),)
    ear = np.zeros(3)
    hidden = shadow(wall, np.array([[0.0, 0.0, -4.0]]), ear, 340.0)[0]
    assert (np.diff(hidden) > 0).all()
    assert hidden[0] > 3
    assert not shadow(wall, np.array([[0.0, 0.0, -1.0], [30.0, 0.0, -4.0], [0.0, 0.0, 3.0]]), ear, 340.0).any()
    rising = np.stack([np.zeros(400), np.linspace(0, 6, 400), np.full(400, -4.0)], axis=1)
    lost = shadow(wall, rising, ear, 340.0)
    assert np.abs(np.diff(lost, axis=0)).max() < 1.0
    assert lost[-1].max() == 0
    passing = np.stack([np.linspace(0, 12, 600), np.zeros(600), np.full(600, -4.0)], axis=1)
    assert np.abs(np.diff(shadow(wall, passing, ear, 340.0), axis=0)).max() < 1.0


def test_a_wide_source_is_no_louder_from_afar_and_does_not_burst_near_by(two: Receiver) -> None:
    """From far a disc is a point; near by its level stays finite and the ears hear less alike."""
    sound = np.random.default_rng(0).standard_normal((60, 1, 256)).astype(np.float32) * 0.1

    def heard(metres: float, width: float) -> np.ndarray:
        renderer = Renderer(1, FREE, two, RATE)
        out = [renderer.render(s, np.array([[0.0, 0.0, -metres]]), Listener(), np.array([width])) for s in sound]
        return np.concatenate(out, axis=1)[:, 10 * 256 :]

    def power(x: np.ndarray) -> float:
        return 10 * math.log10(float(np.square(x).mean()))

    assert power(heard(8.0, 1.0)) == pytest.approx(power(heard(8.0, 0.0)), abs=1.0)
    assert power(heard(0.5, 8.0)) < power(heard(0.5, 0.0)) - 6
    narrow, wide = (float(np.corrcoef(heard(2.0, w))[0, 1]) for w in (0.0, 8.0))
    assert narrow > 0.99
    assert wide < 0.7


def test_the_bed_is_all_around_at_its_level(two: Receiver) -> None:
    """Both ears hear it about as loud as it is, and nowhere: above the bass they are half alike at most."""
    rng = np.random.default_rng(0)
    bed = rng.standard_normal((120, 256)).astype(np.float32) * 0.1
    renderer = Renderer(1, FREE, two, RATE)
    silence, away = np.zeros((1, 256), np.float32), np.array([[0.0, 0.0, -5.0]])
    out = np.concatenate([renderer.render(silence, away, Listener(), bed=b) for b in bed], axis=1)[:, 2048:]
    level = 10 * np.log10(np.square(out).mean(1) / 0.01)
    assert np.abs(level).max() < 3
    spectra = np.fft.rfft(out[:, : out.shape[1] // 512 * 512].reshape(2, -1, 512))
    cross = (spectra[0] * spectra[1].conj()).mean(0)
    alike = np.abs(cross) / np.sqrt(np.square(np.abs(spectra)).mean(1).prod(0))
    assert alike[20:150].mean() < 0.5


# --- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "wanted"), [((-2, 0, 0), [1, 1, 0, 0]), ((0, 2, 0), [1, 0, 1, 0]),
                                               ((0, 0, -2), [1, 0, 0, 1])])  # fmt: skip
def test_ambix_is_w_y_z_x_in_sn3d(place: tuple[int, int, int], wanted: list[int]) -> None:
    heard = measures.impulse(FREE, tuple(map(float, place)), receiver("ambix")).sum(1)
    np.testing.assert_allclose(2 * heard, wanted, atol=1e-3)


def test_stereo_pans_and_mono_does_not() -> None:
    left, ahead = (measures.impulse(FREE, p, receiver("stereo")).sum(1) for p in ((-2.0, 0.0, 0.0), (0.0, 0.0, -2.0)))
    assert left[0] > 3 * left[1]
    assert ahead[0] == pytest.approx(ahead[1])
    mono = [float(measures.impulse(FREE, p, receiver("mono")).sum()) for p in ((-2.0, 0, 0), (0, 0, -2.0), (0, 2.0, 0))]
    np.testing.assert_allclose(mono, 0.5, atol=1e-3)


# --- rooms -----------------------------------------------------------------------------------------------------------


def test_eyrings_time_of_a_known_room() -> None:
    """.161 V / (−S ln(1 − α)) at 20 °C (Kuttruff, eq. 5.24)."""
    room = Room((0, 0, 0), (5, 3, 4), 0.3, air=Air(20.0, absorbing=False))
    np.testing.assert_allclose(room.t60, 0.161 * 60 / (-94 * math.log(0.7)), rtol=2e-3)
    assert (Room((0, 0, 0), (5, 3, 4), 0.3).t60 < room.t60).all(), "the air takes its share"


@pytest.mark.parametrize(
    ("sides", "absorption"), [((4.0, 3.0, 5.0), 0.4), ((8.0, 4.2, 8.0), 0.2), ((6.0, 3.0, 4.5), 0.1)]
)
def test_a_room_rings_as_long_as_eyring_says(sides: tuple[float, float, float], absorption: float) -> None:
    high = tuple(0.55 * s for s in sides)
    low = tuple(h - s for h, s in zip(high, sides, strict=True))
    room = Room(low, high, absorption, air=Air(20.0, absorbing=False))
    heard = measures.impulse(room, (0.8, 0.2, -1.2), receiver("mono"), seconds=float(room.t60[0]) + 0.15)[0]
    assert measures.t60(heard, RATE) == pytest.approx(float(room.t60[0]), rel=0.1)


def test_a_room_has_as_much_reverberation_as_its_mirror_images() -> None:
    room = Room((-3, -1.2, -4), (2, 1.8, 2), 0.2, air=Air(20.0, absorbing=False))
    heard = measures.impulse(room, (0.5, 0.3, -2.0), receiver("mono"), seconds=0.7)[0]
    metres = math.dist((0.5, 0.3, -2.0), (0, 0, 0))
    first = round(metres / room.air.speed * RATE) + 32
    ratio = np.square(heard[first:]).sum() / np.square(heard[:first]).sum()
    assert 10 * math.log10(ratio) == pytest.approx(
        10 * math.log10(measures.images_energy(room, (0.5, 0.3, -2.0)) * metres**2), abs=1.5
    )


def test_reflections_come_from_the_walls() -> None:
    """With one wall that gives all back, the second arrival is its mirror image's, at its level."""
    walls = [(0.99,) * len(BANDS)] * 6
    walls[1] = (0.01,) * len(BANDS)
    room = Room((-4, -2, -4), (3, 2, 4), tuple(walls), air=Air(20.0, absorbing=False))
    heard = measures.impulse(room, (0.0, 0.0, -1.0), receiver("mono"), seconds=0.05)[0]
    image = math.hypot(6.0, 1.0)
    at = round(image / room.air.speed * RATE)
    assert np.abs(heard[at - 3 : at + 4]).max() * image == pytest.approx(np.abs(heard[: at - 100]).max(), rel=0.1)


def test_curtains_take_the_treble() -> None:
    soft = (0.1, 0.1, 0.2, 0.4, 0.6, 0.7, 0.7)
    room = Room((-3, -1.2, -4), (2, 1.8, 2), (soft,) * 6, air=Air(20.0, absorbing=False))
    heard = measures.impulse(room, (0.5, 0.3, -2.0), receiver("mono"), seconds=1.2)[0]
    spectrum = np.fft.rfft(heard, 2 * len(heard))
    hz = np.fft.rfftfreq(2 * len(heard), 1 / RATE)
    for i in (1, 3, 5):
        band = np.fft.irfft(spectrum * np.exp(-0.5 * ((hz / BANDS[i] - 1) / 0.15) ** 2))[: len(heard)]
        assert measures.t60(band, RATE) == pytest.approx(float(room.t60[i]), rel=0.25)


@settings(max_examples=25, deadline=None)
@given(st.floats(1, 60), st.floats(2, 30), st.floats(1, 60), st.floats(0.01, 0.9), st.sampled_from([32, 256, 1024]))
def test_every_rooms_network_is_sound(x: float, y: float, z: float, absorption: float, block: int) -> None:
    plan = network(Room((0, 0, 0), (x, y, z), absorption), RATE, block)
    assert len(set(plan.lengths.tolist())) == LINES
    assert plan.lengths.min() > block
    np.testing.assert_allclose(plan.matrix @ plan.matrix.T, np.eye(LINES), atol=1e-12)
    assert np.square(plan.feeds).sum() == pytest.approx(1)


def test_every_place_sounds_in_every_format(two: Receiver) -> None:
    places = (Outdoors("grass", screens=(Screen((-1, -1), (1, -1), 0.5),)), Room((-4, -2, -4), (4, 2, 4)))
    for place, form in itertools.product(places, ("binaural", "stereo", "ambix", "mono")):
        hears = two if form == "binaural" else receiver(form)
        heard = moving(place, hears, blocks=6)
        assert heard.shape == (hears.channels, 6 * 256)
        assert np.isfinite(heard).all()
        assert np.abs(heard).max() > 1e-3


# --- judge -----------------------------------------------------------------------------------------------------------


def test_the_judge_hears_what_is_rendered_where_it_is(dummy: Receiver) -> None:
    own, other = measures.Judge.of(kemar(RATE)), measures.Judge.of(sphere(RATE))
    for row in measures.directions(dummy, own, [other]):
        assert row.met == "aim", row


def test_the_judge_can_be_wrong() -> None:
    """A judge with the ears swapped hears everything on the wrong side."""
    ears = kemar(RATE)
    azimuth = np.arange(-180, 180, 10.0)
    responses = ears.response(ears_room.direction(azimuth))
    swapped = measures.Judge(azimuth, responses[:, ::-1].copy(), RATE)
    said = swapped.azimuth(ears.response(ears_room.direction(np.array([45.0]))), RATE)
    assert said[0] == pytest.approx(-45, abs=5)


def test_front_and_back_are_told_apart(dummy: Receiver) -> None:
    assert measures.front_back(dummy, measures.Judge.of(kemar(RATE), whole=True)).value < 10


def test_energy_of_mirror_images_where_it_is_known() -> None:
    """Walls that take nearly everything leave nothing; the mean over places is 16π/S (1 − α)/α."""
    rng = np.random.default_rng(0)
    mean = []
    for _ in range(20):
        corner = rng.uniform(0.1, 0.9, 3) * (6, 4, 5)
        room = Room(tuple(-corner), tuple(np.array([6, 4, 5]) - corner), 0.2, air=STILL)
        source = rng.uniform(0.05, 0.95, 3) * (6, 4, 5) - corner
        mean.append(measures.images_energy(room, tuple(source)))
    assert float(np.mean(mean)) == pytest.approx(16 * math.pi / 148 * 0.8 / 0.2, rel=0.25)
    deaf = Room((-3, -2, -2), (3, 2, 3), 0.99, air=STILL)
    assert measures.images_energy(deaf, (1.0, 0.0, 0.0)) < 0.02


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: Listener((0, math.nan, 0)), "stands at"),
    (lambda: Listener((0, 0, 0), math.inf), "number of degrees"),
    (lambda: Source(Sound(np.zeros((2, 9)), RATE), (0, 0, 0)), "mono"),
    (lambda: Source(Sound(np.zeros(9), RATE), (0, 0, 1e9)), "stands at"),
    (lambda: Source(Sound(np.zeros(9), RATE), (0, 0, 0), -1.0), "wide"),
    (lambda: Outdoors("lava"), "no ground"),
    (lambda: Screen((0, 0), (0, 0), 1.0), "two points"),
    (lambda: Room((0, 0, 0), (5, 0.1, 5)), "long, high and wide"),
    (lambda: Room((0, 0, 0), (5, 3, 5), 1.5), "Absorption"),
    (lambda: Room((0, 0, math.nan), (5, 3, 5)), "corners"),
    (lambda: Air(500.0), "humidity"),
    (lambda: sphere(RATE, 5.0), "radius"),
    (lambda: Renderer(0, FREE, receiver("mono")), "sources"),
    (lambda: Renderer(1, FREE, receiver("mono"), 48_000, 7), "block"),
    (lambda: Renderer(1, FREE, receiver("mono"), 100), "Hz"),
    (lambda: Renderer(1, FREE, receiver("binaural", RATE, sphere(RATE)), 44_100), "ears are at 48000 Hz"),
    (lambda: list(poses([], 3)), "at least one pose"),
])  # fmt: skip
def test_nonsense_is_refused_with_a_sentence(make: object, sentence: str) -> None:
    assert callable(make)
    with pytest.raises(InputError, match=sentence):
        make()


def test_blocks_that_do_not_fit_are_refused() -> None:
    renderer = Renderer(2, Room((-3, -1, -3), (3, 2, 3)), receiver("mono"), RATE)
    sound, places = np.zeros((2, 256), np.float32), np.zeros((2, 3))
    with pytest.raises(InputError, match="This renderer takes"):
        renderer.render(np.zeros((3, 256), np.float32), np.zeros((3, 3)), Listener())
    with pytest.raises(InputError, match="finite"):
        renderer.render(sound * np.float32(np.nan), places, Listener())
    with pytest.raises(InputError, match="This renderer takes"):
        renderer.render(sound[:, :9], places, Listener(), bed=np.zeros(9, np.float32))
    with pytest.raises(InputError, match="must be in the room"):
        renderer.render(sound, places, Listener((9.0, 0.0, 0.0)))
    with pytest.raises(InputError, match="must be in the room"):
        renderer.render(sound, places + 5, Listener())


def test_sounds_of_another_rate_are_refused() -> None:
    sources = [Source(Sound(np.zeros(9), 44_100), (0.0, 0.0, -1.0))]
    with pytest.raises(InputError, match="48000 Hz"):
        next(walk(Renderer(1, FREE, receiver("mono")), sources, [Listener()], 1.0))
    with pytest.raises(InputError, match="for 2 sources"):
        next(walk(Renderer(2, FREE, receiver("mono")), sources[:0], [Listener()], 1.0))


def test_the_example_of_the_docs_runs() -> None:
    scope: dict[str, object] = {}
    page = (Path(__file__).parents[1] / "docs" / "walk.md").read_text()
    exec(compile(page.split("```python\n")[-1].split("```")[0], "docs/walk.md", "exec"), scope)
    sound = scope["sound"]
    assert isinstance(sound, Sound)
    assert sound.seconds == 1
    assert 1e-3 < float(np.abs(sound.samples).max()) < 1


def test_poses_go_evenly_and_the_short_way_round() -> None:
    path = list(poses([Listener((0, 0, 0), 170.0), Listener((2, 0, 0), -170.0)], 4))
    assert [one.position[0] for one in path] == [0.5, 1.0, 1.5, 2.0]
    assert path[1].yaw == pytest.approx(180)
    assert path[3].yaw == pytest.approx(190)
