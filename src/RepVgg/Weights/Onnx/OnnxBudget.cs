using RepVgg.Runtime;

namespace RepVgg.Weights.Onnx;

/// <summary>
/// Limits the memory that a graph can ask for. Operations can enlarge constants, and many operations can use the same constant, so that
/// the size of a file does not limit what its network needs.
/// </summary>
/// <param name="fileBytes">Size of the ONNX file and of the files with its external data.</param>
/// <param name="subject">What is counted, in the plural, for the message.</param>
internal sealed class OnnxBudget(long fileBytes, string subject)
{
    // Values of 16 bits become values of 32 bits, and files without weights need some memory too.
    private const int Factor = 4, SpareMebibytes = 16;

    private readonly double _limit = (double)fileBytes * Factor + (SpareMebibytes << 20);
    private double _used;

    /// <summary>Counts 32-bit values before memory is allocated for them.</summary>
    /// <param name="values">Number of values. A double does not overflow.</param>
    /// <param name="user">The operation that needs them or the name of its output, for the message.</param>
    /// <exception cref="InvalidDataException">The budget is exceeded. The message contains only the reason.</exception>
    public void Take(double values, object user)
    {
        _used += values * sizeof(float);
        if (!(_used <= _limit) || values > Array.MaxLength)
            throw new InvalidDataException(FormattableString.Invariant($"{subject} need more than {_limit:f0} bytes, which are {Factor} times the size of the file and {SpareMebibytes} MiB: the limit is exceeded at {MessageText.Printable($"{user}")}"));
    }
}
