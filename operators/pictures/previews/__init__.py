"""Second pictures inside a file: previews, gain maps, films, and the manifest that vouches for it.

`table` says where they may be, `sweep` what becomes of them.
"""
