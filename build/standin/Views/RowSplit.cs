using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>
/// Gives every row of a view a number in 0..1, the same in every pass, so that ranges of that number split the rows.
/// Rows with the same value of the sampling key get the same number.
/// </summary>
internal sealed class RowSplit
{
    private readonly IDataView _source;
    private readonly int _seed;
    private readonly DataViewSchema.Column? _key;
    private readonly Lazy<(double Low, double High)> _range;

    internal RowSplit(IDataView source, string samplingKeyColumn, int seed)
    {
        _source = source;
        _seed = seed;
        _key = samplingKeyColumn is null
            ? null
            : source.Schema.GetColumnOrNull(samplingKeyColumn)
                ?? throw Check.MissingColumn("samplingKeyColumn", "SamplingKeyColumn", samplingKeyColumn);
        _range = new Lazy<(double, double)>(FindRange);
    }

    /// <summary>The rows whose numbers pass a test.</summary>
    internal IDataView Where(Func<double, bool> keep) => new Part(this, keep);

    private Func<double> CreateReader(DataViewRow row)
    {
        if (_key is not DataViewSchema.Column key)
        {
            var random = new Random(_seed);
            return random.NextDouble;
        }

        if (key.Type is KeyDataViewType)
        {
            return NumberReader.Create(row, key);
        }

        if (key.Type == NumberDataViewType.Single || key.Type == NumberDataViewType.Double)
        {
            Func<double> read = NumberReader.Create(row, key);
            (double low, double high) = _range.Value;
            return () => high > low ? (read() - low) / (high - low) : 0;
        }

        Func<ulong> hash = ValueHash.Create(row, key, _seed);
        return () => (hash() >> 11) * (1.0 / (1UL << 53));
    }

    private (double Low, double High) FindRange()
    {
        double low = double.PositiveInfinity;
        double high = double.NegativeInfinity;
        using DataViewRowCursor cursor = _source.GetRowCursor([_key.Value]);
        Func<double> read = NumberReader.Create(cursor, _key.Value);
        while (cursor.MoveNext())
        {
            double value = read();
            low = value < low ? value : low;
            high = value > high ? value : high;
        }

        return (low, high);
    }

    private sealed class Part(RowSplit split, Func<double, bool> keep) : FilteredDataView(split._source)
    {
        /// <summary>Without a key, a row's number depends on its place.</summary>
        public override bool CanShuffle => split._key is not null && Source.CanShuffle;

        protected override bool Tests(DataViewSchema.Column column) => column.Index == split._key?.Index;

        protected override Func<Verdict> CreateTest(DataViewRow row)
        {
            Func<double> read = split.CreateReader(row);
            return () => keep(read()) ? Verdict.Keep : Verdict.Skip;
        }
    }
}

/// <summary>Hashes of column values that are the same in every process.</summary>
internal static class ValueHash
{
    internal static Func<ulong> Create(DataViewRow row, DataViewSchema.Column column, int seed) =>
        column.Type is VectorDataViewType vector
            ? UntypedGetters.Call<Func<ulong>>(Vector<int>, vector.ItemType.RawType, row, column, seed)
            : UntypedGetters.Call<Func<ulong>>(Scalar<int>, column.Type.RawType, row, column, seed);

    private static Func<ulong> Scalar<T>(DataViewRow row, DataViewSchema.Column column, int seed)
    {
        ValueGetter<T> getter = row.GetGetter<T>(column);
        T value = default;
        return () =>
        {
            getter(ref value);
            return Finish(Add(Start(seed), value));
        };
    }

    private static Func<ulong> Vector<T>(DataViewRow row, DataViewSchema.Column column, int seed)
    {
        ValueGetter<VBuffer<T>> getter = row.GetGetter<VBuffer<T>>(column);
        VBuffer<T> value = default;
        return () =>
        {
            getter(ref value);
            return Finish(value.DenseValues().Aggregate(Start(seed), Add));
        };
    }

    private static ulong Start(int seed) => 0xCBF29CE484222325 ^ ((ulong)(uint)seed * 0x9E3779B97F4A7C15);

    private static ulong Add<T>(ulong hash, T value)
    {
        string text = Convert.ToString(value, System.Globalization.CultureInfo.InvariantCulture);
        foreach (char c in text)
        {
            hash = (hash ^ c) * 0x100000001B3;
        }

        return (hash ^ 0x1F) * 0x100000001B3;
    }

    private static ulong Finish(ulong hash)
    {
        hash = (hash ^ (hash >> 33)) * 0xFF51AFD7ED558CCD;
        hash = (hash ^ (hash >> 33)) * 0xC4CEB9FE1A85EC53;
        return hash ^ (hash >> 33);
    }
}
