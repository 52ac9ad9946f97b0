"""People label a part, a model labels the rest, and a promise about its accuracy is kept.

`advance` is the loop, one step at a time: `State` in, `Step` out. What a project asks for is a `Goal`; what its items
look like to a model is a `Learner` over views of them; `Sets` are for items with several labels each; `play` runs all
of it against known labels.
"""

from labeling.autolabel.features import table_views, text_views
from labeling.autolabel.goal import Goal
from labeling.autolabel.images import ConvNet, image_views
from labeling.autolabel.learners import CrossFitted, KernelLearner, Learner, Stack
from labeling.autolabel.loop import Step, advance
from labeling.autolabel.sets import Sets
from labeling.autolabel.simulate import Outcome, judge, label_accuracy, play
from labeling.autolabel.state import Audit, Automatic, Round, State
from labeling.autolabel.suspects import suspects
from labeling.autolabel.warm import WarmStarted

__all__ = [
    "Audit",
    "Automatic",
    "ConvNet",
    "CrossFitted",
    "Goal",
    "KernelLearner",
    "Learner",
    "Outcome",
    "Round",
    "Sets",
    "Stack",
    "State",
    "Step",
    "WarmStarted",
    "advance",
    "image_views",
    "judge",
    "label_accuracy",
    "play",
    "suspects",
    "table_views",
    "text_views",
]
