"""GRPO with two unique prompts where a generation batch needs four; knows nothing of metalassay."""

from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

words = Tokenizer(WordLevel({"<end>": 0, "<unknown>": 1, "a": 2, "b": 3}, unk_token="<unknown>"))
words.pre_tokenizer = Whitespace()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=words,
    padding_side="left",
    model_input_names=["input_ids", "attention_mask"],
    eos_token="<end>",
    pad_token="<end>",
    unk_token="<unknown>",
)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=4,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
)
settings = GRPOConfig(
    output_dir="trained",
    use_cpu=True,
    bf16=False,
    report_to=[],
    disable_tqdm=True,
    per_device_train_batch_size=2,
    gradient_accumulation_steps=4,
    num_generations=2,
    max_completion_length=4,
    save_strategy="no",
    gradient_checkpointing=False,
)
trainer = GRPOTrainer(
    model=model,
    reward_funcs=lambda completions, **_: [float(len(text)) for text in completions],
    args=settings,
    train_dataset=Dataset.from_dict({"prompt": ["a b", "b a"]}),
    processing_class=tokenizer,
)
trainer.train()
print("finished after", trainer.state.global_step, "steps")
