"""The words of this bundle: what a cause is called, and what to do first about it."""

from __future__ import annotations

CAUSES = {
    "deployment": "a deployment",
    "configuration": "a change of configuration",
    "capacity": "too much load, or too little capacity",
    "dependency": "a service or library this one depends on",
    "data": "data that the service cannot cope with",
    "network": "the network, DNS or certificates",
    "hardware": "hardware, or the provider's infrastructure",
    "attack": "an attack or abuse",
    "unknown": "not known yet",
}
FIRST_STEPS = {
    "deployment": "Compare the start of the incident with the last deployments, and roll back the nearest one.",
    "configuration": "List changes of configuration and flags before the start, and take back the nearest one.",
    "capacity": "Add capacity or shed load, then look for what is using it up.",
    "dependency": "Check the status page of the dependency, and switch to the fallback if there is one.",
    "data": "Stop the consumer that fails, keep the data that it fails on, and skip or mend it.",
    "network": "Check DNS, certificates and routes from inside and outside.",
    "hardware": "Move the service away from the affected machines or zone.",
    "attack": "Call security, limit traffic at the edge, and keep the logs.",
    "unknown": "Widen the window, and compare with a time when it worked.",
}
SEVERITIES = {
    "sev1": "SEV1: most customers cannot work",
    "sev2": "SEV2: many customers are hindered",
    "sev3": "SEV3: some customers are hindered",
    "sev4": "SEV4: nobody notices",
}


def sentences(assessment: dict[str, object]) -> list[str]:
    """What may be said outside of an assessment: our own sentences, chosen by its words."""
    cause, confidence = str(assessment["cause"]), assessment["confidence"]
    agreed = "agrees" if assessment["agreed"] else "does not agree"
    return [
        f"Suggested severity: {SEVERITIES[str(assessment['severity'])]}.",
        f"Likely cause: {CAUSES[cause]} (confidence {confidence} of 100; the second look {agreed}).",
        f"First step: {FIRST_STEPS[cause]}",
    ]
