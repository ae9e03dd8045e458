"""The report's section about atomic models: what moves, as tubes."""

from cryosway._errors import CryoswayError
from cryosway.report._contents import Contents
from cryosway.report._html import figure, paragraph, section
from cryosway.report._movie import animate_models
from cryosway.report._pictures import Pictures
from cryosway.report._tube import read_traces


def make_models_section(contents: Contents, pictures: Pictures) -> str:
    """Show the first series of models as a short animation."""
    series = [item for item in contents.main.models if item.count > 1]
    if not series:
        return ""
    try:
        traces = read_traces([series[0].path])
    except CryoswayError as error:
        return section("models", "Atomic models", [paragraph(f"No animation was made: {error}")])
    data = pictures.keep("models.gif", animate_models(traces))
    caption = (
        f"The {series[0].count} models of {series[0].path.name} as tubes along their chains, from "
        f"two sides. Grey stays, dark red moves most: up to {traces.displacement.max():.1f} Å from "
        "where it is in the first model. Between the models positions are interpolated, for the "
        "eye only."
    )
    return section("models", "Atomic models", [figure(data, caption, narrow=True)])
