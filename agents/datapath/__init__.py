"""The way of an artifact's bytes between a driver's descriptor and the object store, in bounded memory."""

from agents.datapath.download import download_artifact
from agents.datapath.grants import GrantClient
from agents.datapath.http import open_http
from agents.datapath.limits import DownloadLimits, RetryLimits, UploadLimits
from agents.datapath.meter import TransferMeter
from agents.datapath.staging import Staging
from agents.datapath.upload import Uploaded, upload_artifact

__all__ = [
    "DownloadLimits",
    "GrantClient",
    "RetryLimits",
    "Staging",
    "TransferMeter",
    "UploadLimits",
    "Uploaded",
    "download_artifact",
    "open_http",
    "upload_artifact",
]
