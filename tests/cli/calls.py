"""Commands in this process: their work, after the start that ``common.run`` does."""


def work(command, *arguments):
    command.work(command.parser().parse_args([str(argument) for argument in arguments]))


def words(trained, output, *more):
    """The arguments of a command that judges the split of the ``trained`` run."""
    ckpt = trained / "run" / "best_model.ckpt"
    return [*map(str, ("--csv", trained / "data.csv", "--ckpt", ckpt, "--output", output)), *more]
