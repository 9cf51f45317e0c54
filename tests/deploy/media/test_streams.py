from __future__ import annotations

from deploy.media.streams import AudioStream, VideoStream, choose_picture, choose_sound


def video(index: int, codec: str = "h264", *, size: int = 100, **marks: bool | int) -> VideoStream:
    return VideoStream(index, codec, size or None, size or None, **marks)  # type: ignore[arg-type]


def chosen(*videos: VideoStream, packets: dict[int, int] | None = None) -> int | None:
    picture = choose_picture(videos, packets)
    return None if picture is None else picture.index


def test_the_first_of_equals() -> None:
    assert chosen(video(0), video(1)) == 0


def test_the_default_one() -> None:
    assert chosen(video(0), video(1, is_default=True)) == 1


def test_covers_never_and_nothing_else_is_none() -> None:
    assert chosen(video(0, "mjpeg", is_attached=True), video(1)) == 1
    assert chosen(video(0, "png", is_attached=True, is_default=True)) is None
    assert chosen(video(0, "none"), video(1, "unknown")) is None
    assert chosen() is None


def test_one_that_moves_before_a_still_even_a_default_one() -> None:
    still, film = video(0, is_default=True), video(1)
    assert chosen(still, film, packets={0: 1, 1: 30}) == 1
    assert chosen(still, film, packets={0: 30, 1: 30}) == 0
    assert chosen(still, film, packets={0: 1, 1: 1}) == 0


def test_a_codec_of_films_before_one_of_pictures() -> None:
    assert chosen(video(0, "mjpeg", is_default=True), video(1)) == 1
    assert chosen(video(0, "mjpeg")) == 0


def test_one_with_a_size_before_one_without() -> None:
    assert chosen(video(0, size=0), video(1)) == 1


def sound(*audios: AudioStream, picture: VideoStream | None = None) -> int | None:
    found = choose_sound(audios, picture)
    return None if found is None else found.index


def test_the_default_sound() -> None:
    assert sound(AudioStream(1, "aac"), AudioStream(2, "aac", is_default=True)) == 2
    assert sound(AudioStream(1, "aac"), AudioStream(2, "aac")) == 1
    assert sound() is None


def test_no_commentary_and_no_unknown_codec() -> None:
    assert sound(AudioStream(1, "aac", is_comment=True), AudioStream(2, "mp3")) == 2
    assert sound(AudioStream(1, "aac", is_comment=True)) == 1
    assert sound(AudioStream(1, "unknown"), AudioStream(2, "mp3")) == 2


def test_the_sound_of_the_same_programme() -> None:
    film = video(0, program=2)
    other = AudioStream(1, "aac", is_default=True, program=1)
    assert sound(other, AudioStream(3, "aac", program=2), picture=film) == 3
