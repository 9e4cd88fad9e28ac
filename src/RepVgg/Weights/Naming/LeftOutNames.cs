using RepVgg.Runtime;

namespace RepVgg.Weights.Naming;

/// <summary>Collects the names of tensors in a file that are not weights.</summary>
internal sealed class LeftOutNames
{
    private const int MaximumTensors = 10;

    // num_batches_tracked: PyTorch's batch norms; total_ops, total_params: the FLOP counter thop; n_averaged: torch.optim.swa_utils.
    private static readonly string[] _counters = ["num_batches_tracked", "total_ops", "total_params", "n_averaged"];

    private readonly SortedDictionary<string, int> _counts = new(StringComparer.Ordinal);
    private readonly List<string> _tensors = [];

    /// <summary>Whether a tensor is a counter or range that training or measuring code stores beside the weights of a layer.</summary>
    public static bool IsNoWeight(string name) =>
        // mmengine's moving average counts its steps at the root. The ranges of quantization-aware training are stored in checkpoints of this library.
        name == "steps" || ActivationRanges.IsRange(name) || Array.IndexOf(_counters, name[(name.LastIndexOf('.') + 1)..]) >= 0;

    /// <summary>Counts a tensor if it is a counter or a range.</summary>
    /// <returns>Whether it is one, so that it is not a weight.</returns>
    public bool AddIfNoWeight(string name)
    {
        if (!IsNoWeight(name))
            return false;
        string last = name[(name.LastIndexOf('.') + 1)..];
        _counts[last] = _counts.GetValueOrDefault(last) + 1;
        return true;
    }

    /// <summary>Adds tensors beside the weights.</summary>
    public void AddTensors(IEnumerable<string> names) => _tensors.AddRange(names);

    /// <summary>Lists the counters with their numbers, and the other tensors.</summary>
    public IEnumerable<string> List()
    {
        var counters = _counts.Select(pair => $"{pair.Key} ({pair.Value})");
        return _tensors.Count == 0 ? counters : counters.Append($"{(_tensors.Count == 1 ? "tensor" : "tensors")} {MessageText.Join(_tensors, MaximumTensors, ", ")}");
    }
}
