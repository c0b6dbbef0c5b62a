"""The public entries of each package, and which of them everybody uses."""

from __future__ import annotations

from collections.abc import Mapping

IMPORT = "import"

ENTRIES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "transformers": {
        "Trainer": (
            "transformers.trainer.Trainer.__init__",
            "transformers.trainer.Trainer.train",
            "transformers.training_args.TrainingArguments.__post_init__",
        ),
        "from_pretrained": ("transformers.modeling_utils.PreTrainedModel.from_pretrained",),
        "pipeline": ("transformers.pipelines.pipeline",),
    },
    "trl": {
        "SFTTrainer": ("trl.SFTTrainer", "trl.SFTConfig"),
        "GRPOTrainer": ("trl.GRPOTrainer", "trl.GRPOConfig"),
        "DPOTrainer": ("trl.DPOTrainer", "trl.DPOConfig"),
        "RewardTrainer": ("trl.RewardTrainer", "trl.RewardConfig"),
        "KTOTrainer": ("trl.KTOTrainer", "trl.KTOConfig"),
        "RLOOTrainer": ("trl.RLOOTrainer", "trl.RLOOConfig"),
        "PPOTrainer": ("trl.PPOTrainer", "trl.PPOConfig"),
    },
    "peft": {
        "get_peft_model": (
            "peft.get_peft_model",
            "peft.LoraConfig",
            "peft.tuners.lora.model.LoraModel",
            "peft.peft_model.PeftModelForCausalLM",
            "peft.peft_model.PeftModel.save_pretrained",
        ),
        "PeftModel.from_pretrained": ("peft.peft_model.PeftModel.from_pretrained",),
    },
    "accelerate": {
        "Accelerator": (
            "accelerate.accelerator.Accelerator.__init__",
            "accelerate.accelerator.Accelerator.prepare",
            "accelerate.accelerator.Accelerator.backward",
            "accelerate.accelerator.Accelerator.clip_grad_norm_",
            "accelerate.accelerator.Accelerator.unwrap_model",
            "accelerate.accelerator.Accelerator.gather_for_metrics",
            "accelerate.accelerator.Accelerator.accumulate",
        ),
        "save_state": (
            "accelerate.accelerator.Accelerator.save_state",
            "accelerate.accelerator.Accelerator.load_state",
        ),
    },
    "datasets": {
        "Dataset": (
            "datasets.arrow_dataset.Dataset.from_dict",
            "datasets.arrow_dataset.Dataset.map",
            "datasets.load.load_dataset",
        ),
    },
}
"""Public entries of each package: functions, methods, and classes for all that ordinary use calls."""

ORDINARY = frozenset(
    {IMPORT, "Trainer", "SFTTrainer", "GRPOTrainer", "DPOTrainer", "get_peft_model", "Accelerator",
     "Dataset"}
)  # fmt: skip
"""The entries that everybody uses: a break there stops ordinary use."""


def is_ordinary(entries: str) -> bool:
    """Return whether ordinary use meets one of some entries, which are joined by commas."""
    return any(entry in ORDINARY for entry in entries.split(", "))
