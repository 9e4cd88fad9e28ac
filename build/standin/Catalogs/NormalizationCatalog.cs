using Microsoft.ML.Standin;
using Microsoft.ML.Transforms;

namespace Microsoft.ML;

/// <summary>Scaling of numbers.</summary>
public static class NormalizationCatalog
{
    public static NormalizingEstimator NormalizeMinMax(
        this TransformsCatalog catalog,
        string outputColumnName,
        string inputColumnName = null,
        long maximumExampleCount = 1000000000,
        bool fixZero = true) =>
        new(catalog.GetEnvironment(), ColumnPairs.Of(outputColumnName, inputColumnName), maximumExampleCount, fixZero);

    public static NormalizingEstimator NormalizeMinMax(
        this TransformsCatalog catalog,
        InputOutputColumnPair[] columns,
        long maximumExampleCount = 1000000000,
        bool fixZero = true) =>
        new(catalog.GetEnvironment(), ColumnPairs.Of(columns), maximumExampleCount, fixZero);
}
