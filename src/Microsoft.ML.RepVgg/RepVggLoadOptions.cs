using RepVgg.Weights;

namespace Microsoft.ML.RepVgg;

/// <summary>How a saved model is loaded, and how it scores rows.</summary>
public sealed class RepVggLoadOptions : RepVggScoringOptions
{
    /// <summary>
    /// Limits on the network in the model, which protect against small files that ask for much memory; null for the defaults. A model that was trained on larger
    /// images than the defaults allow, such as of more than 8,192 pixels per side, is saved without an error, but needs larger limits here.
    /// </summary>
    public WeightsFileLimits? ModelLimits { get; set; }

    internal override void Check()
    {
        base.Check();
        ModelLimits?.Check();
    }
}
