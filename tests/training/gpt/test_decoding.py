"""Decoding with a KV cache gives the logits of the whole model."""

from __future__ import annotations

import torch
from tiny_gpt_model import model

from metalassay.training.gpt.decoding import Decoder


def test_the_cache_gives_the_logits_of_the_whole_model() -> None:
    net, tokens = model(), torch.arange(12)[None] % 50
    with torch.inference_mode():
        whole = net(tokens)[0]
        decoder = Decoder(net)
        found = [decoder.read(tokens[0, :5].tolist())]
        found += [decoder.read([token]) for token in tokens[0, 5:].tolist()]
    torch.testing.assert_close(torch.stack(found), whole[4:], rtol=1e-4, atol=1e-4)


def test_a_prompt_after_other_tokens_starts_again() -> None:
    net, tokens = model(), [3, 1, 4, 1, 5]
    with torch.inference_mode():
        used, fresh = Decoder(net), Decoder(net)
        used.read([9, 2, 6])
        used.read([5])
        assert torch.equal(used.read(tokens), fresh.read(tokens))
        assert used.length == fresh.length == 5
