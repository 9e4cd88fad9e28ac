using Microsoft.ML;
using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>An estimator written outside ML.NET that catches the shape that it is asked about.</summary>
internal sealed class ShapeProbe : IEstimator<ITransformer>
{
    private SchemaShape? _seen;

    /// <summary>The shape of a view's schema, by the one public way to it.</summary>
    public static SchemaShape Of(IDataView view)
    {
        ShapeProbe probe = new();
        try
        {
            new EstimatorChain<ITransformer>().Append(probe).Fit(view);
        }
        catch (ProbeDoneException)
        {
            return probe._seen!;
        }

        return probe._seen ?? throw new InvalidOperationException("The chain asked no estimator for its shape.");
    }

    public SchemaShape GetOutputSchema(SchemaShape inputSchema) => _seen = inputSchema;

    public ITransformer Fit(IDataView input) => throw new ProbeDoneException();

    private sealed class ProbeDoneException : Exception;
}
