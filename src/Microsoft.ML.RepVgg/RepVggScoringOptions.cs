using Microsoft.ML.RepVgg.Scoring;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.RepVgg;

/// <summary>How a loaded model scores rows.</summary>
public sealed class RepVggScoringOptions
{
    /// <summary>Number of threads; 0 uses all cores. The scores do not depend on it.</summary>
    public int NumberOfThreads { get; set; }

    /// <summary>
    /// Maximum number of rows that are read before they are scored, 1 or more; 0 uses up to 32. With 1, every row is scored before
    /// the next one is read, which a source needs that waits for a result before it gives the next row.
    /// </summary>
    public int ScoringBatchSize { get; set; }

    /// <summary>How rows with an invalid image are handled. With <see cref="InvalidRowHandling.Skip"/>, such a row gets a missing prediction: key 0 and scores (or features) NaN.</summary>
    public InvalidRowHandling InvalidRows { get; set; } = InvalidRowHandling.Error;

    internal ScoringOptions ToScoringOptions(IHost? host)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(NumberOfThreads);
        ArgumentOutOfRangeException.ThrowIfNegative(ScoringBatchSize);
        if (!Enum.IsDefined(InvalidRows))
            throw new ArgumentException($"InvalidRows is {(int)InvalidRows}, which is not a value of InvalidRowHandling.");
        return new ScoringOptions(NumberOfThreads, ScoringBatchSize, InvalidRows == InvalidRowHandling.Skip, host);
    }
}
