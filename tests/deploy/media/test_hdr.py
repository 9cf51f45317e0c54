from __future__ import annotations

from deploy.media.hdr import Hdr, read_hdr

MASTERING = {
    "side_data_type": "Mastering display metadata",
    "red_x": "34000/50000",
    "red_y": "16000/50000",
    "green_x": "13250/50000",
    "green_y": "34500/50000",
    "blue_x": "7500/50000",
    "blue_y": "3000/50000",
    "white_point_x": "15635/50000",
    "white_point_y": "16450/50000",
    "min_luminance": "1/10000",
    "max_luminance": "10000000/10000",
}
LIGHT = {"side_data_type": "Content light level metadata", "max_content": 1000, "max_average": 400}


def test_static_data_become_options_of_the_encoder() -> None:
    assert read_hdr([MASTERING, LIGHT]).x265_options() == [
        "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)",
        "max-cll=1000,400",
    ]


def test_other_scales_mean_the_same() -> None:
    rescaled = MASTERING | {"red_x": "17/25", "max_luminance": "1000/1"}
    assert read_hdr([rescaled]) == read_hdr([MASTERING])


def test_half_of_it_is_left_out() -> None:
    half = {key: value for key, value in MASTERING.items() if key != "red_x"}
    for broken in (half, MASTERING | {"red_x": "1/0"}, MASTERING | {"red_x": "G(1,2):crf=0"}):
        assert read_hdr([broken, LIGHT]) == Hdr(light="1000,400")


def test_what_cannot_be_kept_is_named_once() -> None:
    dolby = {"side_data_type": "DOVI configuration record"}
    assert read_hdr([dolby, dolby]) == Hdr(dynamic=("Dolby Vision",))
