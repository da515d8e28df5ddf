"""ScoreCAM, by seewhy's own score-cam."""

from seewhy.compat.pytorch_grad_cam.rerun import RerunCAM


class ScoreCAM(RerunCAM):
    """Channels weighted by the score seen through them. Wang et al. 2020, arXiv:1910.01279.

    `batch_size` may be set and does nothing: as many masked images are run at once as memory suits.
    """

    method = "score-cam"
    batch_size = 16
