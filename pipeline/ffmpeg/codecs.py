"""The codecs the farm decodes, by ffmpeg's names: what cameras, phones, browsers and editors write.

The hundreds of others that ffmpeg knows are old and rarely looked at, and there its holes are found.
"""

from __future__ import annotations

_PICTURE = """
    h264 hevc av1 vp8 vp9 mpeg4 msmpeg4v2 msmpeg4v3 h263 mpeg1video mpeg2video mjpeg png rawvideo prores
    dnxhd cfhd ffv1 huffyuv ffvhuff utvideo magicyuv qtrle dvvideo v210 v308 v408 v410
"""
_SOUND = """
    aac mp3 mp2 mp1 ac3 eac3 dts truehd opus vorbis flac alac amr_nb amr_wb adpcm_ms adpcm_ima_wav
    adpcm_ima_qt gsm gsm_ms wmav1 wmav2 pcm_u8 pcm_s8 pcm_s16le pcm_s16be pcm_s24le pcm_s24be pcm_s32le
    pcm_s32be pcm_f32le pcm_f32be pcm_f64le pcm_f64be pcm_alaw pcm_mulaw pcm_bluray pcm_dvd
"""
#: Decoders are named like their codecs, but for these.
_OTHERWISE = """
    libdav1d libaom-av1 libgav1 libvpx libvpx-vp9 msmpeg4 mp3float mp2float mp1float ac3_fixed aac_fixed dca
    libopus libvorbis amrnb amrwb libopencore_amrnb libopencore_amrwb libgsm libgsm_ms
"""

PICTURE_CODECS = frozenset(_PICTURE.split())
SOUND_CODECS = frozenset(_SOUND.split())
#: As ffmpeg takes them.
DECODERS = ",".join(sorted({*PICTURE_CODECS, *SOUND_CODECS, *_OTHERWISE.split()}))
