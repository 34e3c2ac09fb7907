"""The page in a browser: choose a film, see the plan and a preview, queue it, watch the result.

    view.py     the page itself, the one door to Gradio; thin
    server.py   who may ask what: addresses, password, sizes, files; the one door to the web server
    looks.py    what is looked at in a film (facts, plan, preview, cuts), in a helper process (helper.py)
    queue.py    the jobs as files beside the films; runner.py does them one after another by the command people type
    roots.py, settings.py, progress.py, texts.py    pure: which files may be touched, options, progress, what is shown

Nothing here decides what a film becomes: a job is a command line of ``interpolate.py`` and its journal the truth.
"""
