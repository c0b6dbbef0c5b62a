"""Run-time repairs of upstream bugs, one module a bug, named by its id in known_bugs/.

Each module has ``patch()``, a context manager::

    from metalassay.patches import accelerate_empty_shard

    with accelerate_empty_shard.patch():
        trainer.train()

A patch decides by the installed code, not by its version string, whether it is needed; on healthy
code it does nothing. It may be entered again while active, holds for the whole process (classes are
shared between threads), and puts the stock code back when the last user leaves.
"""
