using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Standin;

namespace Microsoft.ML;

public sealed partial class DataOperationsCatalog
{
    /// <summary>The seed of splits where neither the caller nor the context gives one.</summary>
    private const int DefaultSplitSeed = 42;

    public IDataView Cache(IDataView input, params string[] columnsToPrefetch)
    {
        Check.NotNull(input, nameof(input));
        var cached = new CachedDataView(input);
        if (columnsToPrefetch is { Length: > 0 })
        {
            var wanted = new bool[cached.Schema.Count];
            foreach (string name in columnsToPrefetch)
            {
                DataViewSchema.Column column = cached.Schema.GetColumnOrNull(name)
                    ?? throw Check.MissingColumn(nameof(columnsToPrefetch), "prefetch", name);
                wanted[column.Index] = true;
            }

            cached.Fill(wanted);
        }

        return cached;
    }

    public IDataView ShuffleRows(
        IDataView input, int? seed = null, int shufflePoolSize = 1000, bool shuffleSource = true)
    {
        Check.NotNull(input, nameof(input));
        Check.Param(shufflePoolSize > 0, nameof(shufflePoolSize), "Must be positive");
        return new ShuffledDataView(
            input, seed ?? _env.Register("Shuffle").Rand.Next(), shufflePoolSize, shuffleSource);
    }

    public IDataView SkipRows(IDataView input, long count)
    {
        Check.NotNull(input, nameof(input));
        Check.Param(count > 0, nameof(count), "Must be greater than zero.");
        return new RowSlice(input, skip: count, take: long.MaxValue);
    }

    public IDataView TakeRows(IDataView input, long count)
    {
        Check.NotNull(input, nameof(input));
        Check.Param(count > 0, nameof(count), "Must be greater than zero.");
        return new RowSlice(input, skip: 0, take: count);
    }

    public IDataView FilterRowsByColumn(
        IDataView input,
        string columnName,
        double lowerBound = double.NegativeInfinity,
        double upperBound = double.PositiveInfinity)
    {
        Check.NotNull(input, nameof(input));
        Check.NotEmpty(columnName, nameof(columnName));
        Check.Param(lowerBound < upperBound, nameof(upperBound), "Must be less than lowerBound");
        DataViewType type = input.Schema[columnName].Type;
        if (type is not NumberDataViewType)
        {
            throw Check.SchemaMismatch(nameof(columnName), "filter", columnName, "number", type.ToString());
        }

        return new RangeFilter(input, columnName, value => lowerBound <= value && value < upperBound);
    }

    public IDataView FilterRowsByKeyColumnFraction(
        IDataView input, string columnName, double lowerBound = 0, double upperBound = 1)
    {
        Check.NotNull(input, nameof(input));
        Check.NotEmpty(columnName, nameof(columnName));
        Check.Param(lowerBound is >= 0 and <= 1, nameof(lowerBound), "Must be in [0, 1]");
        Check.Param(upperBound is >= 0 and <= 1, nameof(upperBound), "Must be in [0, 1]");
        Check.Param(lowerBound <= upperBound, nameof(upperBound), "Must be no less than lowerBound");
        DataViewType type = input.Schema[columnName].Type;
        if (type is not KeyDataViewType)
        {
            throw Check.SchemaMismatch(nameof(columnName), "filter", columnName, "KeyType", type.ToString());
        }

        return new RangeFilter(
            input, columnName, value => lowerBound <= value && (value < upperBound || upperBound >= 1));
    }

    public TrainTestData TrainTestSplit(
        IDataView data, double testFraction = 0.1, string samplingKeyColumnName = null, int? seed = null)
    {
        Check.NotNull(data, nameof(data));
        Check.Param(testFraction is > 0 and < 1, nameof(testFraction), "Must be between 0 and 1 exclusive");
        RowSplit split = Split(data, samplingKeyColumnName, seed);
        return new TrainTestData(
            split.Where(value => value < 0 || value >= testFraction),
            split.Where(value => value >= 0 && value < testFraction));
    }

    public IReadOnlyList<TrainTestData> CrossValidationSplit(
        IDataView data, int numberOfFolds = 5, string samplingKeyColumnName = null, int? seed = null)
    {
        Check.NotNull(data, nameof(data));
        Check.Param(numberOfFolds > 1, nameof(numberOfFolds), "Must be more than 1");
        RowSplit split = Split(data, samplingKeyColumnName, seed);
        var folds = new TrainTestData[numberOfFolds];
        for (int fold = 0; fold < numberOfFolds; fold++)
        {
            double low = (double)fold / numberOfFolds;
            double high = (double)(fold + 1) / numberOfFolds;
            folds[fold] = new TrainTestData(
                split.Where(value => value < low || value > high),
                split.Where(value => value >= low && value <= high));
        }

        return folds;
    }

    private RowSplit Split(IDataView data, string samplingKeyColumnName, int? seed) =>
        new(data, samplingKeyColumnName, seed ?? ((IHostEnvironmentInternal)_env).Seed ?? DefaultSplitSeed);
}
