"""Refuses what is mistyped before TensorFlow starts, which takes seconds."""

from __future__ import annotations

from lrdiag.settings import DiagnoseSettings, Settings


def refuse_mistyped(settings: Settings | DiagnoseSettings) -> None:
    """Raises if the model, the data, the metadata, the baseline or the templates are not there.

    Reads no image and no weights.

    Raises:
        LrdiagError: With the name that is most similar.
    """
    from lrdiag.data.loading import require_data
    from lrdiag.diagnosis.metadata import read_given
    from lrdiag.model_spec import require_network, require_trained_model
    from lrdiag.record import reading
    from lrdiag.report.templates import html_environment

    if isinstance(settings, Settings):
        require_network(settings.model)
    else:
        require_trained_model(settings.model, trust=settings.trust)
    require_data(settings.data)
    read_given(settings.metadata, settings.groups)
    if settings.baseline is not None:
        reading.require_report(settings.baseline)
    if settings.templates is not None:
        html_environment(settings.templates)
