"""A page for whoever draws: keys, in-betweens, timing charts and hints, viewed and corrected in a browser.

    keys/  key_001.png  key_002.png  …    never written to
           studio.json                    rate, loop and timing: see `project`
           hints.json                     hints, as `_scripts.interpolate` reads them
           .studio/                       in-betweens that were drawn; it may be deleted at any time

`project` holds what the page edits, `keys` the key drawings on disk, `sheet` the drawings that result from both.
`worker` draws them, `cache` keeps them on disk, `exports` writes them to files. `server` serves all of it to the page
in `static/`: `pictures` for the browser, and `events` when something has changed.
"""
