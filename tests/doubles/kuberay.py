"""The part of KubeRay's v1 schema (1.7) that our manifests use, written from its API reference; nothing else passes.

The published definition leaves objects open and has 1.4 MB of pod fields; here every object is closed, so that a key
with a typo is found.
"""

from typing import Any

TEXT, COUNT, NUMBER, FLAG = (
    {"type": "string"},
    {"type": "integer", "minimum": 0},
    {"type": "number"},
    {"type": "boolean"},
)
TEXTS = {"type": "object", "additionalProperties": TEXT}
QUANTITIES = {"type": "object", "additionalProperties": {"type": ["string", "integer"],
              "pattern": r"^[0-9]+(\.[0-9]+)?(m|[kMGTP]i?)?$"}}  # fmt: skip


def closed(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object with these keys and no other."""
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


def each(items: dict[str, Any]) -> dict[str, Any]:
    """A list of at least one."""
    return {"type": "array", "items": items, "minItems": 1}


def one(*names: str) -> dict[str, Any]:
    """One of these words."""
    return {"enum": list(names)}


SECRET_KEY = closed("key name", key=TEXT, name=TEXT, optional=FLAG)
CONTAINER = closed(
    "name image resources",
    name={"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
    image=TEXT, imagePullPolicy=one("Always", "IfNotPresent", "Never"), command=each(TEXT), args=each(TEXT),
    env=each(closed("name", name=TEXT, value=TEXT, valueFrom=closed(secretKeyRef=SECRET_KEY))),
    ports=each(closed("containerPort", containerPort=COUNT, name=TEXT, protocol=one("TCP", "UDP"))),
    resources=closed(requests=QUANTITIES, limits=QUANTITIES),
    volumeMounts=each(closed("name mountPath", name=TEXT, mountPath=TEXT, readOnly=FLAG, subPath=TEXT)),
)  # fmt: skip
VOLUME = closed(
    "name", name=TEXT, persistentVolumeClaim=closed("claimName", claimName=TEXT, readOnly=FLAG),
    emptyDir=closed(medium=one("", "Memory"), sizeLimit=TEXT), hostPath=closed("path", path=TEXT, type=TEXT),
    configMap=closed("name", name=TEXT), secret=closed("secretName", secretName=TEXT),
)  # fmt: skip
TOLERATION = closed(key=TEXT, operator=one("Exists", "Equal"), value=TEXT,
                    effect=one("NoSchedule", "PreferNoSchedule", "NoExecute"))  # fmt: skip
TEMPLATE = closed(
    "spec", metadata={"type": "object"},
    spec=closed("containers", containers=each(CONTAINER), initContainers=each(CONTAINER), volumes=each(VOLUME),
                tolerations=each(TOLERATION), nodeSelector=TEXTS, serviceAccountName=TEXT,
                terminationGracePeriodSeconds=COUNT, restartPolicy=one("Always", "OnFailure", "Never"),
                priorityClassName=TEXT),
)  # fmt: skip
CLUSTER_SPEC = closed(
    "rayVersion authOptions headGroupSpec workerGroupSpecs",
    rayVersion=TEXT, suspend=FLAG, enableInTreeAutoscaling=FLAG, managedBy=TEXT,
    authOptions=closed("mode", mode=one("token"), secretName=TEXT, enableK8sTokenAuth=FLAG),
    autoscalerOptions=closed(upscalingMode=one("Default", "Aggressive", "Conservative"), idleTimeoutSeconds=COUNT,
                             version=one("v1", "v2"), image=TEXT, resources=closed(requests=QUANTITIES,
                                                                                    limits=QUANTITIES)),
    headGroupSpec=closed("rayStartParams template", rayStartParams=TEXTS, template=TEMPLATE, enableIngress=FLAG,
                         serviceType=one("ClusterIP", "NodePort", "LoadBalancer"), resources=TEXTS, labels=TEXTS),
    workerGroupSpecs=each(closed(
        "groupName rayStartParams template", groupName=TEXT, replicas=COUNT, minReplicas=COUNT, maxReplicas=COUNT,
        numOfHosts=COUNT, idleTimeoutSeconds=COUNT, suspend=FLAG, rayStartParams=TEXTS, template=TEMPLATE,
        resources=TEXTS, labels=TEXTS,
    )),
)  # fmt: skip
JOB_SPEC = closed(
    "entrypoint rayClusterSpec",
    entrypoint=TEXT, rayClusterSpec=CLUSTER_SPEC, runtimeEnvYAML=TEXT, shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=COUNT, activeDeadlineSeconds=COUNT, preRunningDeadlineSeconds=COUNT, backoffLimit=COUNT,
    submissionMode=one("K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"), jobId=TEXT, suspend=FLAG,
    entrypointNumCpus=NUMBER, entrypointNumGpus=NUMBER, entrypointResources=TEXT, metadata=TEXTS,
    submitterPodTemplate=TEMPLATE,
)  # fmt: skip


def kind(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A whole manifest."""
    return closed("apiVersion kind metadata spec", apiVersion=one("ray.io/v1"), kind=one(name), spec=spec,
                  metadata=closed("name", name=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS))  # fmt: skip


SCHEMAS = {"RayCluster": kind("RayCluster", CLUSTER_SPEC), "RayJob": kind("RayJob", JOB_SPEC)}
