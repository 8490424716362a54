"""A kind of job that does nothing."""


def note(job, context):
    return {}
