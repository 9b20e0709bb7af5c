package rules_test
import ("testing";"os";"time";"bytes";"syscall";"github.com/meterlog/meterlog/internal/config";"github.com/meterlog/meterlog/internal/rules";"github.com/meterlog/meterlog/internal/meter")
func TestZZ(t *testing.T){
 for _,name:=range bytes.Fields([]byte(os.Getenv("ZZ"))){
  c,err:=config.Load("/tmp/R/b/"+string(name)+".yaml"); if err!=nil{t.Fatal(err)}
  data,_:=os.ReadFile(c.Sources[0].Paths[0])
  m:=rules.NewMatcher(&c.Set); var tally meter.Tally
  var a,b syscall.Rusage; syscall.Getrusage(0,&a)
  n:=0
  for k:=0;k<3;k++{ for s:=0;s<len(data);{e:=min(s+256<<10,len(data)); for e<len(data)&&data[e-1]!='\n'{e--}; n++
   m.Match(meter.Block{Generation:1,Path:"/s",Sources:[]string{"s"},Data:data[s:e],Start:int64(s),ReadAt:time.Date(2026,11,25,4,0,0,0,time.UTC)},&tally); s=e}}
  syscall.Getrusage(0,&b)
  cpu:=float64(b.Utime.Nano()+b.Stime.Nano()-a.Utime.Nano()-a.Stime.Nano())/1e9
  q:=int64(0); for _,x:=range tally.Counts{q+=x.Amount}
  t.Logf("%s: %.0f MB/cpu-s %.0f ns/line %d anomalies %d", name, 3*float64(len(data))/1e6/cpu, cpu/3e6*1e9, q, len(tally.Anomalies))
 }
}
