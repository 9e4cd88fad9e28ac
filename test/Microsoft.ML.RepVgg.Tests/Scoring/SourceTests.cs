using System.Collections.Concurrent;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Scoring;

/// <summary>Every row of a source is read once, in order, and gets its own prediction.</summary>
public sealed class SourceTests(TrainedStripes trained) : IClassFixture<TrainedStripes>
{
    private readonly MLContext _context = trained.Context;

    private sealed class Tagged
    {
        public int Tag { get; set; }

        public string Text { get; set; } = "";

        [VectorType(Stripes.Channels, Stripes.Size, Stripes.Size)]
        public float[] Features { get; set; } = [];

        public float[] Pair { get; set; } = [];

        public string[] Words { get; set; } = [];
    }

    private sealed class Scored
    {
        public int Tag { get; set; }

        public string Text { get; set; } = "";

        public float[] Features { get; set; } = [];

        public float[] Pair { get; set; } = [];

        public string[] Words { get; set; } = [];

        public float[] Score { get; set; } = [];

        public uint PredictedLabel { get; set; }
    }

    /// <summary>The scores of the first 1,000 tags, each computed by itself.</summary>
    private readonly Lazy<float[][]> _expected = new(() =>
    {
        using var engine = new global::RepVgg.Inference.InferenceEngine(trained.Model.LastTransformer.Network, 1);
        return [.. Enumerable.Range(0, 1000).Select(tag =>
        {
            float[] logits = new float[3];
            engine.Run(Make(tag).Features, 1, logits);
            double[] exponentials = [.. logits.Select(logit => Math.Exp(logit - logits.Max()))];
            return exponentials.Select(value => (float)(value / exponentials.Sum())).ToArray();
        })];
    });

    /// <summary>A row whose image depends on the tag.</summary>
    private static Tagged Make(int tag) => new()
    {
        Tag = tag,
        Text = $"tag {tag}",
        Features = Stripes.Image(tag % 1000 % 3, new Random(tag % 1000)),
        Pair = [tag, -tag],
        Words = [.. Enumerable.Range(0, tag % 4).Select(i => $"{tag}.{i}")],
    };

    /// <summary>Rows that are counted when they are read.</summary>
    private static IEnumerable<Tagged> Counted(int count, Action read)
    {
        for (int i = 0; i < count; i++)
        {
            read();
            yield return Make(i);
        }
    }

    private void Check(IEnumerable<Scored> rows, IEnumerable<int> tags)
    {
        var scored = rows.ToList();
        Assert.Equal(tags, scored.Select(row => row.Tag));
        foreach (var row in scored)
        {
            var made = Make(row.Tag);
            Assert.Equal(made.Text, row.Text);
            Assert.Equal(made.Features, row.Features);
            Assert.Equal(made.Pair, row.Pair);
            Assert.Equal(made.Words, row.Words);
            Compare.Close(_expected.Value[row.Tag % 1000], row.Score, 1e-5);
            Assert.Equal(1u + (uint)Array.IndexOf(row.Score, row.Score.Max()), row.PredictedLabel);
        }
    }

    private IEnumerable<Scored> Score(IDataView view) =>
        _context.Data.CreateEnumerable<Scored>(trained.Model.LastTransformer.Transform(view), reuseRowObject: false);

    [Fact]
    public void A_live_source_that_can_be_read_once_gets_the_predictions_of_its_own_rows()
    {
        int next = 0;
        IEnumerable<Tagged> Camera()
        {
            while (true)
                yield return Make(next++);
        }

        Check(Score(_context.Data.LoadFromEnumerable(Camera())).Take(500), Enumerable.Range(0, 500));
        Assert.InRange(next, 500, 500 + 32);
    }

    [Fact]
    public void Ten_thousand_rows_that_differ_at_each_reading_are_all_right()
    {
        var random = new Random(5);
        IEnumerable<Tagged> Source()
        {
            for (int i = 0; i < 10_000; i++)
                yield return Make(random.Next(1000));
        }

        int count = 0;
        foreach (var row in Score(_context.Data.LoadFromEnumerable(Source())))
        {
            Compare.Close(_expected.Value[row.Tag], row.Score, 1e-5);
            count++;
        }
        Assert.Equal(10_000, count);
    }

    [Fact]
    public void Rows_that_are_read_in_parallel_and_shuffled_keep_their_scores()
    {
        var view = _context.Data.LoadFromEnumerable(Enumerable.Range(0, 1000).Select(Make));
        // A cache can be shuffled, and a transform on it is read in parallel.
        view = _context.Data.Cache(view);
        view = _context.Transforms.Conversion.ConvertType("Number", "Tag", DataKind.Double).Fit(view).Transform(view);
        Check(Score(view), Enumerable.Range(0, 1000));
        var shuffled = Score(_context.Data.ShuffleRows(view, seed: 3)).ToList();
        Assert.NotEqual(Enumerable.Range(0, 1000), shuffled.Select(row => row.Tag));
        Check(shuffled.OrderBy(row => row.Tag), Enumerable.Range(0, 1000));

        var scored = trained.Model.LastTransformer.Transform(view);
        using var cursor = scored.GetRowCursor(scored.Schema, new Random(4));
        var (tag, score) = (cursor.GetGetter<int>(scored.Schema["Tag"]), cursor.GetGetter<VBuffer<float>>(scored.Schema["Score"]));
        var seen = new HashSet<int>();
        while (cursor.MoveNext())
        {
            int value = 0;
            VBuffer<float> scores = default;
            tag(ref value);
            score(ref scores);
            Assert.True(seen.Add(value));
            Compare.Close(_expected.Value[value], [.. scores.DenseValues()], 1e-5);
        }
        Assert.Equal(1000, seen.Count);
    }

    [Fact]
    public async Task The_first_result_of_a_live_source_does_not_wait_for_a_second_row()
    {
        using var queue = new BlockingCollection<Tagged> { Make(7) };
        using var rows = Score(_context.Data.LoadFromEnumerable(queue.GetConsumingEnumerable())).GetEnumerator();
        // A first result that waits for a second row ends in a TimeoutException.
        Assert.True(await Task.Run(rows.MoveNext).WaitAsync(TimeSpan.FromSeconds(60)));
        Check([rows.Current], [7]);
        queue.CompleteAdding();
        Assert.False(rows.MoveNext());
    }

    [Fact]
    public void With_a_batch_of_one_each_row_is_scored_before_the_next_one_is_read()
    {
        var options = Stripes.Options(epochs: 1);
        options.ScoringBatchSize = 1;
        using var model = Stripes.Pipeline(_context, options).Fit(trained.TrainingData);
        int read = 0;
        int results = 0;
        foreach (var row in _context.Data.CreateEnumerable<Scored>(model.LastTransformer.Transform(_context.Data.LoadFromEnumerable(Counted(20, () => read++))), reuseRowObject: false))
        {
            Assert.Equal(++results, read);
            Assert.Equal(results - 1, row.Tag);
        }
        Assert.Equal(20, results);
    }

    [Fact]
    public void Rows_are_not_read_ahead_by_transforms_before_the_network()
    {
        var options = Stripes.Options(epochs: 1);
        options.ScoringBatchSize = 1;
        using var model = Stripes.Pipeline(_context, options).Fit(trained.TrainingData);
        int read = 0;
        // A conversion of a column is read on other threads by ML.NET's own cursors.
        var source = _context.Data.LoadFromEnumerable(Counted(1000, () => read++));
        var view = _context.Transforms.Conversion.ConvertType("Number", "Tag", DataKind.Double)
            .Append(_context.Transforms.Conversion.MapValueToKey("TextKey", "Text")).Fit(_context.Data.LoadFromEnumerable([Make(0)])).Transform(source);
        read = 0;
        var scored = model.LastTransformer.Transform(view);
        using var cursor = scored.GetRowCursor(scored.Schema);
        for (int i = 1; i <= 20; i++)
        {
            Assert.True(cursor.MoveNext());
            Assert.Equal(i, read);
        }
    }

    [Fact]
    public void Rows_before_an_invalid_one_are_returned_and_then_the_cursor_cannot_be_used()
    {
        var rows = Enumerable.Range(0, 50).Select(Make).ToList();
        rows[20].Features[3] = float.PositiveInfinity;
        var view = trained.Model.LastTransformer.Transform(_context.Data.LoadFromEnumerable(rows));
        using var cursor = view.GetRowCursor(view.Schema);
        var (tag, score, id) = (cursor.GetGetter<int>(view.Schema["Tag"]), cursor.GetGetter<VBuffer<float>>(view.Schema["Score"]), cursor.GetIdGetter());
        int value = 0;
        VBuffer<float> scores = default;
        DataViewRowId rowId = default;
        Assert.Throws<InvalidOperationException>(() => score(ref scores));
        for (int i = 0; i < 20; i++)
        {
            Assert.True(cursor.MoveNext());
            Assert.Equal(i, cursor.Position);
            tag(ref value);
            score(ref scores);
            id(ref rowId);
            Assert.Equal(i, value);
            Assert.Equal(new DataViewRowId((ulong)i, 0), rowId);
            Compare.Close(_expected.Value[i], [.. scores.DenseValues()], 1e-5);
        }
        for (int again = 0; again < 3; again++)
        {
            var error = Assert.ThrowsAny<InvalidOperationException>(() => cursor.MoveNext());
            Assert.Contains("Row 20, column 'Features': value 3 is ", error.Message);
            Assert.Throws<InvalidOperationException>(() => score(ref scores));
            Assert.Throws<InvalidOperationException>(() => tag(ref value));
        }
    }

    [Fact]
    public void Invalid_rows_can_be_skipped_with_a_missing_prediction_and_are_counted()
    {
        var options = Stripes.Options(epochs: 1);
        options.InvalidRows = InvalidRowHandling.Skip;
        using var model = Stripes.Pipeline(_context, options).Fit(trained.TrainingData);
        var log = new List<string>();
        void Listen(object? sender, LoggingEventArgs line) => log.Add(line.Message);
        var rows = Enumerable.Range(0, 300).Select(Make).ToList();
        for (int i = 0; i < 300; i += 7)
            rows[i].Features[5] = float.NaN;
        _context.Log += Listen;
        var scored = _context.Data.CreateEnumerable<Scored>(model.LastTransformer.Transform(_context.Data.LoadFromEnumerable(rows)), reuseRowObject: false).ToList();
        _context.Log -= Listen;
        var whole = _context.Data.CreateEnumerable<Scored>(model.LastTransformer.Transform(_context.Data.LoadFromEnumerable(Enumerable.Range(0, 300).Select(Make))), reuseRowObject: false).ToList();
        for (int i = 0; i < 300; i++)
        {
            Assert.Equal(i, scored[i].Tag);
            if (i % 7 == 0)
            {
                Assert.Equal(0u, scored[i].PredictedLabel);
                Assert.All(scored[i].Score, score => Assert.True(float.IsNaN(score)));
            }
            else
            {
                Assert.Equal(whole[i].Score, scored[i].Score);
                Assert.Equal(whole[i].PredictedLabel, scored[i].PredictedLabel);
            }
        }
        Assert.Equal(43, model.LastTransformer.InvalidRowCount);
        Assert.Single(log, line => line.Contains("Row 0, column 'Features': value 5 is NaN"));

        using var engine = _context.Model.CreatePredictionEngine<Tagged, Scored>(model.LastTransformer, new PredictionEngineOptions { OwnsTransformer = false });
        Assert.Equal(0u, engine.Predict(rows[7]).PredictedLabel);
        Assert.Equal(whole[8].Score, engine.Predict(rows[8]).Score);
        Assert.Equal(44, model.LastTransformer.InvalidRowCount);
    }

    [Fact]
    public void Text_whose_memory_the_source_uses_again_is_kept()
    {
        // The text and the words of every row are in the same two arrays.
        var view = trained.Model.LastTransformer.Transform(new ReusingView(40));
        int i = 0;
        foreach (var row in _context.Data.CreateEnumerable<Scored>(view, reuseRowObject: false, ignoreMissingColumns: true))
        {
            Assert.Equal($"{i:d4}", row.Text);
            Assert.Equal([$"{i:d4}", $"{i + 1:d4}"], row.Words);
            i++;
        }
        Assert.Equal(40, i);
    }

    /// <summary>A view whose cursor writes the text of each row into the same arrays.</summary>
    private sealed class ReusingView : IDataView
    {
        private readonly int _count;

        public ReusingView(int count)
        {
            _count = count;
            var builder = new DataViewSchema.Builder();
            builder.AddColumn("Text", TextDataViewType.Instance);
            builder.AddColumn("Words", new VectorDataViewType(TextDataViewType.Instance));
            builder.AddColumn("Features", new VectorDataViewType(NumberDataViewType.Single, Stripes.Channels, Stripes.Size, Stripes.Size));
            Schema = builder.ToSchema();
        }

        public DataViewSchema Schema { get; }

        public bool CanShuffle => false;

        public long? GetRowCount() => _count;

        public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null) => new Cursor(this);

        public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) => [new Cursor(this)];

        private sealed class Cursor(ReusingView view) : DataViewRowCursor
        {
            private readonly char[] _text = new char[4];
            private readonly char[] _words = new char[8];
            private long _position = -1;

            public override DataViewSchema Schema => view.Schema;

            public override long Position => _position;

            public override long Batch => 0;

            public override bool IsColumnActive(DataViewSchema.Column column) => true;

            public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) => id = new DataViewRowId((ulong)_position, 0);

            public override bool MoveNext()
            {
                if (++_position == view._count)
                    return false;
                $"{_position:d4}".CopyTo(_text);
                $"{_position:d4}{_position + 1:d4}".CopyTo(_words);
                return true;
            }

            public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
            {
                Delegate getter = column.Name switch
                {
                    "Text" => (ValueGetter<ReadOnlyMemory<char>>)((ref ReadOnlyMemory<char> value) => value = _text),
                    "Words" => (ValueGetter<VBuffer<ReadOnlyMemory<char>>>)((ref VBuffer<ReadOnlyMemory<char>> value) => value = new VBuffer<ReadOnlyMemory<char>>(2, [_words.AsMemory(0, 4), _words.AsMemory(4)])),
                    _ => (ValueGetter<VBuffer<float>>)((ref VBuffer<float> value) => value = new VBuffer<float>(Stripes.Size * Stripes.Size, Make((int)_position).Features)),
                };
                return (ValueGetter<TValue>)getter;
            }
        }
    }
}
