"""English as the page says it, where the source speaks of the command line's options."""

PAGE_ENGLISH: dict[str, str] = {
    "--engine {other}, or fusion.engine in config.yaml": "choose {other} under Advanced",
    "the target's spectacles stay in front of the face; without keep-glasses they are replaced": (
        "the target's spectacles stay in front of the face; turn Keep glasses off under Advanced "
        "to replace them"
    ),
    "{path} cannot be read in strips and needs up to {needed} MB of memory, and {spare} MB may be "
    "used; raise max-memory-mb, or save it as PNG or baseline JPEG": (
        "{path} cannot be read in strips and needs up to {needed} MB of memory, and {spare} MB may "
        "be used; save it as PNG or baseline JPEG and upload that"
    ),
    "the output {path} of {size} would need {needed} MB of memory, because {format} is encoded "
    "whole, and {spare} MB may be used; write TIFF, PNG or JPEG, choose a smaller resolution, or "
    "raise max-memory-mb": (
        "the output {path} of {size} would need {needed} MB of memory, because {format} is encoded "
        "whole, and {spare} MB may be used; choose the format TIFF, PNG or JPEG, or a smaller "
        "output size"
    ),
    "engine {engine} needs about {needed} MB besides the pictures, and {allowed} MB may be used; "
    "set max-memory-mb to at least {least}, or use engine mesh": (
        "engine {engine} needs about {needed} MB besides the pictures, and {allowed} MB may be "
        "used; choose the engine mesh under Advanced, or have limits.max_memory_mb set to at least "
        "{least} in config.yaml"
    ),
    "no face was found in the {role} picture {path}; use a picture that shows a face clearly, or "
    "lower the threshold": (
        "no face was found in the {role} picture {path}; use a picture that shows a face clearly, "
        "or lower Detection under Advanced"
    ),
    "a crop of the {target} target to {box} would enlarge it to {size}, more than {most} pixels on "
    "a side; use fit keep or pad{smaller}": (
        "a crop of the {target} target to {box} would enlarge it to {size}, more than {most} "
        "pixels on a side; use the frame Keep or Pad{smaller}"
    ),
    "fit pad or keep": "the frame Pad or Keep",
    "composite official has no mode {mode}; use mode normal, or composite studio": (
        "the composite As ModelScope has no blending {mode}; choose the blending Normal, or the "
        "composite Studio"
    ),
}
"""By the English template of the catalogue; it may leave values out."""
