using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Caching, shuffling, slicing, filtering and splitting.</summary>
public sealed class DataOperationsTests
{
    private readonly MLContext _context = new(5);

    [Fact]
    public void CachesReadTheirSourceOnce()
    {
        int made = 0;
        IDataView source = _context.Data.LoadFromEnumerable(Enumerable.Range(0, 10).Select(i =>
        {
            Interlocked.Increment(ref made);
            return new Row { Id = i };
        }));
        IDataView cached = _context.Data.Cache(source, "Id");

        Assert.Equal(Enumerable.Range(0, 10), cached.Values<int>("Id"));
        Assert.Equal(Enumerable.Range(0, 10), cached.Values<int>("Id"));
        Assert.Equal(10, made);
        Assert.True(cached.CanShuffle);
        Assert.Equal(10, cached.GetRowCount());
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.Cache(source, "None"));
    }

    [Fact]
    public void CachesShuffleWithTheRandomNumbersGiven()
    {
        IDataView cached = _context.Data.Cache(View(50));

        int[] order = Ids(cached, new Random(3));

        Assert.Equal(order, Ids(cached, new Random(3)));
        Assert.NotEqual(Enumerable.Range(0, 50), order);
        Assert.Equal(Enumerable.Range(0, 50), order.Order());
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(7)]
    public void ShufflingKeepsEveryRow(int pool)
    {
        IDataView shuffled = _context.Data.ShuffleRows(View(100), seed: 3, shufflePoolSize: pool);
        int[] ids = shuffled.Values<int>("Id");

        Assert.Equal(Enumerable.Range(0, 100), ids.Order());
        Assert.NotEqual(Enumerable.Range(0, 100), ids);
        Assert.Equal(ids, shuffled.Values<int>("Id"));
        Assert.Equal(ids, _context.Data.ShuffleRows(View(100), seed: 3, shufflePoolSize: pool).Values<int>("Id"));
        Assert.NotEqual(ids, _context.Data.ShuffleRows(View(100), seed: 4, shufflePoolSize: pool).Values<int>("Id"));
        Assert.Equal(ids.Select(id => (float)id), shuffled.Vectors<float>("V").Select(v => v[1]));
        Assert.True(shuffled.CanShuffle);
        Assert.Equal(100, shuffled.GetRowCount());
    }

    [Fact]
    public void SmallPoolsMoveRowsBackOnlyWhereTheyWaited()
    {
        int[] ids = _context.Data.ShuffleRows(View(100), seed: 3, shufflePoolSize: 7, shuffleSource: false)
            .Values<int>("Id");

        // A row comes at most a pool's length before its turn.
        Assert.All(ids.Select((id, i) => id - i), ahead => Assert.InRange(ahead, -100, 7));
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.ShuffleRows(View(3), shufflePoolSize: 0));
    }

    [Fact]
    public void SlicesTakeAndSkip()
    {
        Assert.Equal([0, 1, 2], _context.Data.TakeRows(View(9), 3).Values<int>("Id"));
        Assert.Equal([7, 8], _context.Data.SkipRows(View(9), 7).Values<int>("Id"));
        Assert.Equal([2, 3], _context.Data.TakeRows(_context.Data.SkipRows(View(9), 2), 2).Values<int>("Id"));
        Assert.Empty(_context.Data.SkipRows(View(2), 5).Values<int>("Id"));
        Assert.Equal(2, _context.Data.TakeRows(View(2), 5).GetRowCount());
        Assert.Equal(7, _context.Data.SkipRows(View(9), 2).GetRowCount());
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.TakeRows(View(1), 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.SkipRows(View(1), -1));
    }

    [Fact]
    public void SlicesReadNoFurtherThanTheyMust()
    {
        IDataView view = _context.Data.LoadFromEnumerable(
            Enumerable.Range(0, 5).Select(i => i < 4 ? new Row { Id = i } : throw new InvalidOperationException("read")));

        Assert.Equal([0, 1], _context.Data.TakeRows(view, 2).Values<int>("Id"));
    }

    [Fact]
    public void FiltersKeepARangeOfNumbers()
    {
        IDataView kept = _context.Data.FilterRowsByColumn(View(10), "Weight", 2, 5);

        Assert.Equal([2, 3, 4], kept.Values<int>("Id"));
        Assert.Equal([2f, 3, 4], kept.Values<float>("Weight"));
        Assert.Null(kept.GetRowCount());
        Assert.Equal(
            [8, 9], _context.Data.FilterRowsByColumn(View(10), "Weight", lowerBound: 8).Values<int>("Id"));
        Assert.ThrowsAny<ArgumentException>(() => _context.Data.FilterRowsByColumn(View(1), "Name", 0, 1));
        Assert.ThrowsAny<ArgumentException>(() => _context.Data.FilterRowsByColumn(View(1), "Weight", 1, 0));
        Assert.ThrowsAny<ArgumentException>(() => _context.Data.FilterRowsByColumn(View(1), "None", 0, 1));
    }

    [Fact]
    public void FiltersKeepAFractionOfKeys()
    {
        IDataView kept = _context.Data.FilterRowsByKeyColumnFraction(View(8), "Group", 0, 0.5);

        Assert.Equal([0, 1, 4, 5], kept.Values<int>("Id"));
        Assert.ThrowsAny<ArgumentException>(() => _context.Data.FilterRowsByKeyColumnFraction(View(1), "Id"));
    }

    [Fact]
    public void SplitsShareOutEveryRow()
    {
        DataOperationsCatalog.TrainTestData split = _context.Data.TrainTestSplit(View(400), 0.25);
        int[] train = split.TrainSet.Values<int>("Id");
        int[] test = split.TestSet.Values<int>("Id");

        Assert.Equal(Enumerable.Range(0, 400), train.Concat(test).Order());
        Assert.InRange(test.Length, 60, 140);
        Assert.Equal(test.Order(), test);
        Assert.Equal(View(1).Schema.Names(), split.TestSet.Schema.Names());
        Assert.Equal(test, split.TestSet.Values<int>("Id"));
    }

    [Fact]
    public void SeedsDecideSplits()
    {
        int[] Test(MLContext context, int? seed) =>
            context.Data.TrainTestSplit(View(100), 0.3, seed: seed).TestSet.Values<int>("Id");

        Assert.Equal(Test(_context, 7), Test(new MLContext(99), 7));
        Assert.NotEqual(Test(_context, 7), Test(_context, 8));
        Assert.Equal(Test(new MLContext(1), null), Test(new MLContext(1), null));
        Assert.NotEqual(Test(new MLContext(1), null), Test(new MLContext(2), null));
    }

    [Theory]
    [InlineData("Name")]
    [InlineData("Group")]
    public void RowsWithOneKeyStayTogether(string key)
    {
        DataOperationsCatalog.TrainTestData split = _context.Data.TrainTestSplit(View(200), 0.5, key);
        string[] Keys(IDataView view) =>
            [.. view.Values<int>("Id").Select(id => key == "Name" ? $"{id % 20}" : $"{id % 4}").Distinct()];

        Assert.Empty(Keys(split.TrainSet).Intersect(Keys(split.TestSet)));
        Assert.NotEmpty(Keys(split.TestSet));
        Assert.NotEmpty(Keys(split.TrainSet));
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.TrainTestSplit(View(2), 0.5, "None"));
    }

    [Fact]
    public void SplitsNeedAFraction()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.TrainTestSplit(View(2), 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.TrainTestSplit(View(2), 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Data.CrossValidationSplit(View(2), 1));
    }

    [Fact]
    public void FoldsTestEveryRowOnce()
    {
        IReadOnlyList<DataOperationsCatalog.TrainTestData> folds = _context.Data.CrossValidationSplit(View(120), 4);

        Assert.Equal(4, folds.Count);
        Assert.Equal(Enumerable.Range(0, 120), folds.SelectMany(fold => fold.TestSet.Values<int>("Id")).Order());
        Assert.All(folds, fold => Assert.Equal(
            Enumerable.Range(0, 120),
            fold.TrainSet.Values<int>("Id").Concat(fold.TestSet.Values<int>("Id")).Order()));
    }

    private static int[] Ids(IDataView view, Random random)
    {
        DataViewSchema.Column column = view.Schema["Id"];
        using DataViewRowCursor cursor = view.GetRowCursor([column], random);
        ValueGetter<int> getter = cursor.GetGetter<int>(column);
        List<int> ids = [];
        while (cursor.MoveNext())
        {
            int id = 0;
            getter(ref id);
            ids.Add(id);
        }

        return [.. ids];
    }

    private IDataView View(int count) => _context.Data.LoadFromEnumerable(Enumerable.Range(0, count).Select(
        i => new Row { Id = i, Weight = i, Name = $"{i % 20}", Group = (uint)(i % 4), V = [0, i] }).ToArray());

    private sealed class Row
    {
        public int Id { get; set; }

        public float Weight { get; set; }

        public string Name { get; set; } = "";

        [KeyType(4)]
        public uint Group { get; set; }

        [VectorType(2)]
        public float[] V { get; set; } = [0, 0];
    }
}
