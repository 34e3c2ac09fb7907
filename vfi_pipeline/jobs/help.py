"""What ``python interpolate.py --help`` says."""

HELP = """\
Raise the frame rate of a film: new frames between the old ones, same length, same sound.

  python interpolate.py input=clip.mp4 fps=60

The film is written beside the input as clip_60fps.mp4, checked, and only then given its name. If the work is stopped
(Ctrl-C, a crash, a power cut), the same command goes on where it was. Options may also be typed as --fps 60.

HOW SMOOTH (exactly one)
  fps=60            frames per second of the result; the duration stays. Also 59.94, 23.976, 60000/1001.
                    (Some tools re-tag the same frames with fps=, which changes the duration. This one never does.)
  multi=2           so many times the frames per second of the source; 2.5 works too
  slowmo=4          slow motion: the same frames per second, four times as long
  audio=...         slow motion only: drop (default), stretch (keeps the pitch) or silence. Otherwise keep or drop

ANIMATE PICTURES (two or more pictures in, animation out; one, with weights of a Warping ODE)
  input=[a.jpg,b.jpg]   pictures, or a folder of them. With fps= and none of these options, images are a film's frames
  duration=2        seconds, at fps=30 unless told; or durations=[2,1.5] for each gap, or frames=48
  t=0.37            one frame instead; t=[0.1,0.5] several (0 is the first picture, 1 the second, 2 the third...)
  loop=true         back to the first picture at the end
  hold_first= hold_last=   seconds more that these pictures stay
  easing=smooth     rest at every picture; default: linear
  size=first        size of the result: first, largest, smallest (picture), or 1280x720
  fit_size=crop     pictures of another shape: crop, pad (bars) or stretch; asked for if much would be cut off
  model=morph       warps, brightens and paints over: mult= add= warp= (strengths), add_first=, steps=
  points=FILE.json  pairs of points that belong together: [[[12,30],[14,33]], ...]; a wish, never needed
  strength=1.5      how far to go; from and to: [-0.5,1.5]. Outside of 0 to 1, like t=, only with extrapolate=true
  direction=backward   one picture: undo what the weights learned
  sheet=FILE.png    contact sheet: frames over t, both one-sided results, motion, Jacobian, velocity
  save_maps=true    keep the solved maps, as pictures too; maps=FILE.maps.safetensors renders them again, at any size
  preview=FILE.png  the frame half-way, while it is being solved
  seed=0            the same seed gives the same result

IN AND OUT
  input=FILE        a video, a folder of videos (each is done), a folder of images or a pattern such as
                    "shots/*.png" or shot_%04d.png (one film; input_fps=24 says how fast). May be given several times
  output=FILE       a file (.mp4 .mkv .mov .webm .gif .webp ...), a folder/, or images: frames/%06d.png
  name=TEMPLATE     names of files in a folder: {stem}_{fps}fps.{ext}; also {multi} {slowmo} {model}
  overwrite=true    replace an output that exists
  start= end=       only this part: 90.5, 1:30.5, 0:01:30
  subtitles=drop    leave subtitles out (audio=drop: the sound); everything that the container can hold is kept
  stream=2          which video stream, by ffmpeg's number, if there are several
  codec= crf= preset= pix_fmt=
                    codec=h264 (default, near-lossless), hevc, av1, vp9, prores, ffv1, or an ffmpeg encoder's name

PICTURES
  model=flow        how motion is estimated: flow (learned; the default for films), fit and morph (fitted to
                    each pair; for pictures), blend (cross-fade), hold (repeat);
                    model.KEY=VALUE sets an option of the model
  weights=FILE      other weights for a model that has some
  scene=off         do not look for cuts; scene_threshold=0.4 finds more, 0.6 fewer
  cuts=FILE.json    use this list of cuts: [24, 48], or the list written beside an earlier output, edited
  cut=blend         cross-fade over a cut; default: hold the frame before it
  dedup=on          film on twos and threes: re-time repeated frames, same duration
  mask=IMAGE        white stays as in the nearer source frame: logos, score boards, burnt-in subtitles
  max_gap=0.5       seconds without a new frame (variable rate) beyond which the one before is held; off makes frames
  deinterlace=on    for interlaced sources, which are refused otherwise
  scale=0.5         estimate motion on a picture of half the size: faster, less memory

STYLE (docs/style.md)
  style=mosaic      every source frame painted by a trained style (mosaic, brushwork, or FILE.safetensors of
                    train.py experiment=style); the motion, and so the frames between, are the film's own
  style=FILE.jpg    the style of any picture, optimised frame by frame: slow; needs `make features` once
  style_strength=0.5   how far from the film's frames to the painted ones; style_colour=keep paints brightness only
  style_size=N      longest side at which frames are painted: size of the strokes; 384 for a picture
  passes=10         for a picture: so often forth and back over the film; long_term=[1,2,4] frames back that each
                    is held to (off: each alone); style_iterations=, style_weight= content_weight= temporal_weight=
  preview=FILE.png  the latest painted frame

THE JOB
  dry_run=true      show the plan (frames, streams kept and lost, disk space) and stop
  status            show what is done and what is left: python interpolate.py status output=clip_60fps.mp4
  resume=false      forget earlier work on this output and start anew
  report=FILE.json  write what was done, with all figures, as JSON
  benchmark=true    write nothing, measure the speed
  device=cpu        cpu, cuda, cuda:1; default: a GPU if there is one
  precision=fp16    fp32, fp16, bf16, for models that know them
  allow_damaged=true   use what can be decoded of a broken file
  segment=20        seconds at most between two points that a job can resume from
  check_space=off   start even if the disk looks too full
  max_pixels=N      refuse larger pictures

EXAMPLES
  python interpolate.py input=film.mkv fps=60000/1001 codec=hevc crf=18
  python interpolate.py input=clip.mp4 slowmo=4 audio=stretch output=slow/
  python interpolate.py input=anime.mkv fps=60 dedup=on
  python interpolate.py input=renders/ input_fps=24 fps=60 output=smooth/%05d.png
  python interpolate.py a.mp4 b.mp4 c.mp4 --multi 2 --output done/
  python interpolate.py input=[a.jpg,b.jpg] duration=2 output=morph.mp4
  python interpolate.py input=portraits/ duration=8 loop=true easing=smooth output=all.gif fps=20
  python interpolate.py input=face.png weights=smile.safetensors duration=2 sheet=smile.png
  python interpolate.py input=[a.png,b.png] t=0.37 output=between.png

Exit codes: 0 done and verified, 2 wrong option, 3 bad input, 4 output or machine, 130 interrupted.
More: docs/interpolate.md, docs/pictures.md
"""
