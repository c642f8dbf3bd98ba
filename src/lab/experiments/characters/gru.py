"""A recurrent network over characters."""

from torch import Tensor, nn


class GRU(nn.Module):
    """Takes characters `[N, T]` as int64, gives logits `[N, T, characters]` of the one that follows each."""

    def __init__(self, num_characters: int, embedding_size: int, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_characters, embedding_size)
        self.body = nn.GRU(embedding_size, hidden_size, num_layers, batch_first=True)
        self.head = nn.Linear(hidden_size, num_characters)

    def forward(self, characters: Tensor) -> Tensor:
        return self.read(characters)[0]

    def read(self, characters: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The logits, and the state to read on from."""
        hidden, last = self.body(self.embedding(characters), state)
        return self.head(hidden), last
